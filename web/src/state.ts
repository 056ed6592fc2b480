/** What the worker has open, and what stops it. */

import type * as Module from "../pkg/cpu/amaes_wasm.js";
import type { PlainError } from "./errors.ts";
import type { Helpers } from "./helpers.ts";
import type { Channel, FromWorker, NamedBytes, ToWorker } from "./protocol.ts";

export const scope = self as unknown as {
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  amaesPanic?: string;
  amaesLost?: string;
};

/** A module and its device. */
export interface Open {
  module: typeof Module;
  engine: Module.Engine;
  memory: WebAssembly.Memory;
  helpers: Helpers | undefined;
}

/** A model, and its files for the helpers. */
export interface Loaded {
  model: Module.LoadedModel;
  files: NamedBytes[];
}

let open: Open | undefined;
export const models = new Map<number, Loaded>();
/** Requests that are to stop. */
export const cancelled = new Set<number>();
/** What ends the waiting of a request for others. */
export const waiting = new Map<number, () => void>();

export function setOpen(now: Open): void {
  open = now;
}

export function device(): Open {
  if (!open) throw new Error("no device is open");
  return open;
}

export function loaded(number: number): Loaded {
  const model = models.get(number);
  if (!model) throw new Error("the model has been disposed of");
  return model;
}

/** Lets messages in, a request to stop among them. */
const { port1, port2 } = new MessageChannel();
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    port1.onmessage = () => resolve();
    port2.postMessage(null);
  });
}

export function stopped(): PlainError {
  return { kind: "cancelled", message: "cancelled", hint: "Start again when you like." };
}

/** Passes bytes on as they arrive. */
export async function feed(
  id: number,
  channel: Channel,
  take: (bytes: Uint8Array) => void,
): Promise<void> {
  const reader = (channel instanceof Blob ? channel.stream() : channel).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      take(value);
      if (cancelled.has(id)) throw stopped();
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}
