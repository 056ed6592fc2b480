/** The worker: holds the WebAssembly module, its device and its models. */

import type * as Module from "../pkg/cpu/amaes_wasm.js";
import cpuUrl from "../pkg/cpu/amaes_wasm_bg.wasm?url";
import webgpuUrl from "../pkg/webgpu/amaes_wasm_bg.wasm?url";
import { type PlainError } from "./errors.ts";
import { countBuffers, marks, resetMarks } from "./gpu-memory.ts";
import type {
  Answers,
  Channel,
  FromWorker,
  LoadRequest,
  OpenRequest,
  Request,
  SegmentRequest,
  ToWorker,
} from "./protocol.ts";
import type { DeviceInfo, LabelStatistics, ModelInfo, Phase, Segmentation } from "./types.ts";

const scope = self as unknown as {
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  amaesPanic?: string;
  amaesLost?: string;
};

interface Open {
  engine: Module.Engine;
  memory: WebAssembly.Memory;
}

let open: Open | undefined;
const models = new Map<number, Module.LoadedModel>();
let nextModel = 1;
/** Requests that are to stop. */
const cancelled = new Set<number>();
/** Requests run one after another. */
let queue: Promise<void> = Promise.resolve();

scope.onmessage = ({ data }) => {
  if ("cancel" in data) {
    cancelled.add(data.id);
    return;
  }
  queue = queue.then(() => answer(data.id, data.request));
};

async function answer(id: number, request: Request): Promise<void> {
  try {
    const value = await run(id, request);
    const transfer =
      request.op === "segment"
        ? [(value as Segmentation).native.buffer, (value as Segmentation).prepared.buffer]
        : [];
    scope.postMessage({ id, value }, transfer);
  } catch (thrown) {
    scope.postMessage({ id, ...explain(thrown) });
  } finally {
    cancelled.delete(id);
  }
}

function run(id: number, request: Request): Promise<Answers[keyof Answers]> {
  switch (request.op) {
    case "open":
      return openDevice(request);
    case "load":
      return load(request);
    case "segment":
      return segment(id, request);
    case "forward":
      return loadedModel(request.model).forward(request.values, Uint32Array.from(request.shape));
    case "free":
      models.get(request.model)?.free();
      models.delete(request.model);
      return Promise.resolve(null);
  }
}

/** What a thrown value means, and whether the module is of no more use. */
function explain(thrown: unknown): { error: PlainError; fatal: boolean } {
  if (scope.amaesLost) {
    const error: PlainError = {
      kind: "device",
      message: `the graphics card was lost: ${scope.amaesLost}`,
      hint: "Start again; if it is lost once more, choose a smaller model or the CPU backend.",
    };
    return { error, fatal: true };
  }
  if (isPlain(thrown)) return { error: thrown, fatal: false };
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (scope.amaesPanic) {
    const error: PlainError = {
      kind: "crashed",
      message: scope.amaesPanic,
      hint: "Start again; the engine has been restarted. If it happens once more, report it.",
    };
    return { error, fatal: true };
  }
  // Without a word from a panic, a trap is an allocation that failed.
  const memory = thrown instanceof WebAssembly.RuntimeError || thrown instanceof RangeError;
  const error: PlainError = {
    kind: memory ? "memory" : "crashed",
    message: memory ? `memory does not suffice (${message})` : message,
    hint: memory
      ? "Close other tabs, choose a smaller model, or use the command line."
      : "Start again; if it happens once more, report it.",
  };
  return { error, fatal: memory };
}

function isPlain(value: unknown): value is PlainError {
  return typeof value === "object" && value !== null && "kind" in value && "hint" in value;
}

async function openDevice(request: OpenRequest): Promise<DeviceInfo> {
  const gpu = request.backend === "webgpu";
  if (gpu) countBuffers();
  const module: typeof Module = gpu
    ? ((await import("../pkg/webgpu/amaes_wasm.js")) as unknown as typeof Module)
    : await import("../pkg/cpu/amaes_wasm.js");
  const { memory } = await module.default({
    module_or_path: request.wasmUrl ?? (gpu ? webgpuUrl : cpuUrl),
  });
  const engine = await module.Engine.create(request.maxBufferBytes);
  open = { engine, memory };
  const info = JSON.parse(engine.info) as DeviceInfo;
  return gpu ? { ...info, ...(await describeAdapter(info)) } : info;
}

/** What the browser tells of a graphics card. */
async function describeAdapter(info: DeviceInfo): Promise<Partial<DeviceInfo>> {
  interface Adapter {
    info?: Partial<Record<"vendor" | "architecture" | "device" | "description", string>> & {
      isFallbackAdapter?: boolean;
    };
    isFallbackAdapter?: boolean;
  }
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } };
  const adapter = await gpu?.requestAdapter();
  const told = adapter?.info;
  const words = [told?.vendor, told?.architecture, told?.device, told?.description];
  const name = words.filter(Boolean).join(" ") || info.adapter;
  const fallback = told?.isFallbackAdapter ?? adapter?.isFallbackAdapter ?? info.software ?? false;
  return { adapter: name, software: fallback || /swiftshader|llvmpipe/i.test(name) };
}

function device(): Open {
  if (!open) throw new Error("no device is open");
  return open;
}

function loadedModel(number: number): Module.LoadedModel {
  const model = models.get(number);
  if (!model) throw new Error("the model has been disposed of");
  return model;
}

async function load(request: LoadRequest): Promise<Answers["load"]> {
  const { engine } = device();
  const names = request.files.map((file) => file.name);
  const loaded = engine.openModel(
    names,
    request.files.map((file) => file.bytes),
  );
  const model = nextModel++;
  models.set(model, loaded);
  return { model, info: JSON.parse(loaded.info()) as ModelInfo };
}

/** Lets messages in, a request to stop among them. */
const { port1, port2 } = new MessageChannel();
function turn(): Promise<void> {
  return new Promise((resolve) => {
    port1.onmessage = () => resolve();
    port2.postMessage(null);
  });
}

function stopped(): PlainError {
  return { kind: "cancelled", message: "cancelled", hint: "Start again when you like." };
}

async function segment(id: number, request: SegmentRequest): Promise<Segmentation> {
  const { engine, memory } = device();
  const model = loadedModel(request.model);
  resetMarks();
  const timings = { read: 0, prepare: 0, network: 0, finish: 0 };
  const tell = (phase: Phase, fraction: number): void => {
    scope.postMessage({ id, phase, fraction });
  };
  const run = engine.begin(model, JSON.stringify(request.settings));
  try {
    const count = request.channels.length;
    for (const [i, channel] of request.channels.entries()) {
      const start = performance.now();
      await feed(id, channel, (bytes) => {
        tell("read", (i + run.push(bytes)) / count);
      });
      timings.read += performance.now() - start;
      const read = performance.now();
      run.endChannel();
      timings.prepare += performance.now() - read;
    }
    const prepared = performance.now();
    tell("network", 0);
    await turn();
    await run.infer(async (done: number, total: number) => {
      tell("network", done / total);
      await turn();
      return !cancelled.has(id);
    });
    const inferred = performance.now();
    timings.network = inferred - prepared;
    tell("finish", 0);
    const first = request.channels[0];
    if (first instanceof Blob) {
      await feed(id, first, (bytes) => void run.push(bytes));
    }
    const report = JSON.parse(run.measure()) as { labels: LabelStatistics[] };
    tell("finish", 0.5);
    const native = run.nativeFile() as Uint8Array<ArrayBuffer>;
    const conformed = run.preparedFile() as Uint8Array<ArrayBuffer>;
    timings.finish = performance.now() - inferred;
    for (const phase of Object.keys(timings) as (keyof typeof timings)[]) timings[phase] /= 1000;
    return {
      native,
      prepared: conformed,
      statistics: report.labels,
      timings,
      memory: { wasm: memory.buffer.byteLength, ...marks() },
    };
  } finally {
    // After a trap the module cannot free it either.
    if (!scope.amaesPanic) run.free();
  }
}

/** Passes a channel's bytes on as they arrive. */
async function feed(id: number, channel: Channel, take: (bytes: Uint8Array) => void): Promise<void> {
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
