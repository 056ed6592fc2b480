/** The models that a page offers. */

import { phantomModel } from "./phantom.ts";
import type { ModelSource } from "./amaes.ts";
import type { Keep } from "./types.ts";

/** A model to choose. */
export interface Card {
  id: string;
  name: string;
  /** What it segments, on which images. */
  description: string;
  licence?: string;
  /** Of its files. */
  bytes?: number;
  /** Of its file; with it the file is verified and kept. */
  sha256?: string;
  /** An image to try it with. */
  sample?: URL;
  /** Which components to keep, unless others are chosen. */
  keep?: Keep;
  source: () => ModelSource;
}

/** An entry of `models/index.json`. */
interface Listed {
  id: string;
  name: string;
  description: string;
  licence?: string;
  bytes?: number;
  sha256?: string;
  /** Relative to the list, as is `sample`. */
  url: string;
  sample?: string;
  keep?: Keep;
}

/** The network for the phantom, which is at hand where there is no other. */
export const PHANTOM: Card = {
  id: "phantom",
  name: "Phantom",
  description: "Fluid, grey and white matter of the page's phantom; of no use for a real brain.",
  source: () => phantomModel(),
};

/** The models beside the page, where there are any. */
export async function listed(): Promise<Card[]> {
  const list = new URL("models/index.json", document.baseURI);
  const response = await fetch(list).catch(() => undefined);
  if (!response?.ok || !response.headers.get("content-type")?.includes("json")) return [];
  const entries = (await response.json()) as Listed[];
  return entries.map(({ url, sample, ...card }) => ({
    ...card,
    ...(sample ? { sample: new URL(sample, list) } : {}),
    source: () => new URL(url, list),
  }));
}
