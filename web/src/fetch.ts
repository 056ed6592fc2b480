/** Models from addresses: streamed, verified, kept. */

import type { LoadOptions } from "./amaes.ts";
import { AmaesError } from "./errors.ts";
import type { NamedBytes } from "./protocol.ts";

/** Name of the store of verified files. */
const STORE = "amaes-models";

/**
 * Fetches a model: one file, or a TensorFlow.js `model.json` with the files that it names and the
 * colour map beside it.
 */
export async function fetchModel(url: URL, options: LoadOptions): Promise<NamedBytes[]> {
  const bytes = await fetchFile(url, options);
  const name = decodeURIComponent(url.pathname.split("/").slice(-2).join("/"));
  const files = [{ name, bytes }];
  if (!url.pathname.endsWith(".json")) return files;
  for (const path of shards(bytes)) {
    const shard = new URL(path, url);
    if (shard.origin !== url.origin) {
      throw new AmaesError("network", `the model names a file elsewhere: ${path}`, "Refused.");
    }
    files.push({ name: path, bytes: await fetchFile(shard, { ...options, sha256: "" }) });
  }
  const colormap = await fetch(new URL("colormap.json", url), signalOf(options)).catch(() => null);
  if (colormap?.ok) {
    files.push({ name: "colormap.json", bytes: new Uint8Array(await colormap.arrayBuffer()) });
  }
  return files;
}

function signalOf({ signal }: LoadOptions): RequestInit {
  return signal ? { signal } : {};
}

/** The files that a TensorFlow.js model names. */
function shards(json: Uint8Array): string[] {
  try {
    const model = JSON.parse(new TextDecoder().decode(json)) as {
      weightsManifest?: { paths?: string[] }[];
    };
    return (model.weightsManifest ?? []).flatMap((group) => group.paths ?? []);
  } catch {
    // The engine says what is wrong with it.
    return [];
  }
}

async function fetchFile(url: URL, options: LoadOptions): Promise<Uint8Array> {
  const { sha256 } = options;
  const store = sha256 && "caches" in globalThis ? await caches.open(STORE) : undefined;
  const key = sha256 && new URL(`/amaes-model/${sha256.toLowerCase()}`, url).href;
  const kept = key && (await store?.match(key));
  if (kept) return new Uint8Array(await kept.arrayBuffer());
  const bytes = await download(url, options);
  if (sha256 && key) {
    const found = await hex(bytes);
    if (found !== sha256.toLowerCase()) {
      throw new AmaesError(
        "network",
        `${url.pathname} has the SHA-256 ${found}, not ${sha256}`,
        "The file was changed or damaged on its way: try again.",
      );
    }
    // Without room for it, it is fetched again the next time.
    await store?.put(key, new Response(bytes.slice())).catch(() => undefined);
  }
  return bytes;
}

async function download(url: URL, options: LoadOptions): Promise<Uint8Array> {
  const failed = (why: string) =>
    new AmaesError("network", `cannot fetch ${url.pathname}: ${why}`, "Check the address.");
  let response: Response;
  try {
    response = await fetch(url, signalOf(options));
  } catch (error) {
    if (options.signal?.aborted) throw new AmaesError("cancelled", "cancelled", "Start again.");
    throw failed(error instanceof Error ? error.message : String(error));
  }
  if (!response.ok || !response.body) throw failed(`${response.status} ${response.statusText}`);
  const length = response.headers.get("content-length");
  // The length is that of the bytes sent, which a server may have compressed.
  const plain = response.headers.get("content-encoding") === null;
  const total = length !== null && plain ? Number(length) : undefined;
  const parts: BlobPart[] = [];
  let done = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done: ended, value } = await reader.read();
    if (ended) break;
    parts.push(value as Uint8Array<ArrayBuffer>);
    done += value.byteLength;
    options.onProgress?.(done, total);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function hex(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as BufferSource);
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
}
