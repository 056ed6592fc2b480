/** The worker: holds the WebAssembly module, its device and its models. */

import type * as Module from "../pkg/cpu/amaes_wasm.js";
import type { PlainError } from "./errors.ts";
import { countBuffers } from "./gpu-memory.ts";
import { Helpers } from "./helpers.ts";
import { Neighbours } from "./neighbours.ts";
import type {
  Answers,
  Build,
  CompareRequest,
  HelpRequest,
  LoadRequest,
  MeasureRequest,
  OpenRequest,
  PieceRequest,
  Request,
  SurfaceRequest,
} from "./protocol.ts";
import { segment } from "./segmenting.ts";
import { cancelled, device, feed, loaded, models, scope, setOpen, turn, waiting } from "./state.ts";
import type { DeviceInfo, LabelStatistics, ModelInfo, Overlap } from "./types.ts";

const MODULES = {
  cpu: new URL("../pkg/cpu/amaes_wasm_bg.wasm", import.meta.url),
  "cpu-relaxed": new URL("../pkg/cpu-relaxed/amaes_wasm_bg.wasm", import.meta.url),
  webgpu: new URL("../pkg/webgpu/amaes_wasm_bg.wasm", import.meta.url),
};

/** The script of a module; that of the GPU has more in it. */
const SCRIPTS: Record<Build, () => Promise<unknown>> = {
  cpu: () => import("../pkg/cpu/amaes_wasm.js"),
  "cpu-relaxed": () => import("../pkg/cpu-relaxed/amaes_wasm.js"),
  webgpu: () => import("../pkg/webgpu/amaes_wasm.js"),
};

let nextModel = 1;
/** The request that is being answered. */
let current: number | undefined;
let helper: Module.PieceHelper | undefined;
/** Requests run one after another. */
let queue: Promise<void> = Promise.resolve();

scope.onmessage = ({ data }) => {
  if ("cancel" in data) {
    cancelled.add(data.id);
    waiting.get(data.id)?.();
    return;
  }
  queue = queue.then(() => answer(data.id, data.request));
};

// A trap in what the module awaits rejects nothing: it ends up here.
self.addEventListener("error", (event) => {
  if (current === undefined) return;
  event.preventDefault();
  scope.postMessage({ id: current, ...explain(event.error), fatal: true });
});

async function answer(id: number, request: Request): Promise<void> {
  current = id;
  try {
    const value = await run(id, request);
    scope.postMessage({ id, value }, transferable(value));
  } catch (thrown) {
    scope.postMessage({ id, ...explain(thrown) });
  } finally {
    cancelled.delete(id);
    waiting.delete(id);
    current = undefined;
  }
}

/** Buffers of an answer, given away instead of copied. */
function transferable(value: Answers[keyof Answers]): Transferable[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  const parts: unknown[] = ArrayBuffer.isView(value) ? [value] : Object.values(value);
  const views = parts.filter((part): part is ArrayBufferView => ArrayBuffer.isView(part));
  return views.map((view) => view.buffer as ArrayBuffer);
}

function run(id: number, request: Request): Promise<Answers[keyof Answers]> {
  switch (request.op) {
    case "begin":
      return hold(request.lock);
    case "open":
      return openDevice(request);
    case "load":
      return load(request);
    case "segment":
      return segment(id, request);
    case "forward": {
      const { model } = loaded(request.model);
      return model.forward(request.values, Uint32Array.from(request.shape));
    }
    case "free":
      models.get(request.model)?.model.free();
      models.delete(request.model);
      device().helpers?.forget(request.model);
      return Promise.resolve(null);
    case "measure":
      return measure(id, request);
    case "compare":
      return compare(request);
    case "surface":
      return surface(request);
    case "help":
      return help(request);
    case "piece":
      return piece(id, request);
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

/** Holds a lock until the worker ends. */
function hold(lock: string | undefined): Promise<null> {
  return new Promise((held) => {
    if (lock === undefined) return held(null);
    const forever = () => {
      held(null);
      return new Promise<void>(() => undefined);
    };
    navigator.locks.request(lock, forever).catch(() => held(null));
  });
}

async function openDevice(request: OpenRequest): Promise<DeviceInfo> {
  const { build } = request;
  const gpu = build === "webgpu";
  if (gpu) countBuffers();
  const module = (await SCRIPTS[build]()) as typeof Module;
  const compiled = request.module ?? (await compile(request.wasmUrl ?? MODULES[build]));
  const { memory } = await module.default({ module_or_path: compiled });
  const told = gpu ? await describeAdapter() : undefined;
  const graphics = told && JSON.stringify({ adapter: told.adapter, tiles: request.gpuTiles });
  const engine = await module.Engine.create(request.maxBufferBytes, graphics);
  const threads = gpu ? 1 : (request.threads ?? 1);
  const helpers = threads > 1 ? new Helpers(build, compiled, threads - 1) : undefined;
  setOpen({ module, engine, memory, helpers });
  const info = { ...(JSON.parse(engine.info) as DeviceInfo), threads };
  if (!gpu) return { ...info, adapter: `${info.adapter}, ${threads} thread${threads > 1 ? "s" : ""}` };
  const software = told?.software ?? info.software ?? false;
  return { ...info, adapter: told?.adapter || info.adapter, software };
}

async function compile(url: string | URL): Promise<WebAssembly.Module> {
  let response: Response;
  try {
    response = await fetch(url);
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const plain: PlainError = {
      kind: "network",
      message: `cannot fetch ${new URL(url, self.location.href).pathname}: ${why}`,
      hint: "Check the address of the WebAssembly modules (`wasmUrl`) and the connection.",
    };
    throw plain;
  }
  // Servers that do not know the type would make streaming fail.
  const typed = response.headers.get("content-type")?.startsWith("application/wasm");
  if (typed) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** What the browser tells of the graphics card; the module's library cannot see it. */
async function describeAdapter(): Promise<{ adapter: string; software: boolean | undefined }> {
  interface Adapter {
    info?: Partial<Record<"vendor" | "architecture" | "device" | "description", string>> & {
      isFallbackAdapter?: boolean;
    };
    isFallbackAdapter?: boolean;
  }
  interface Gpu {
    requestAdapter(options: { powerPreference: string }): Promise<Adapter | null>;
  }
  const { gpu } = navigator as { gpu?: Gpu };
  // As the module asks for it.
  const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
  const told = adapter?.info;
  const words = [told?.vendor, told?.architecture, told?.device, told?.description];
  const name = words.filter(Boolean).join(" ");
  const fallback = told?.isFallbackAdapter ?? adapter?.isFallbackAdapter;
  return { adapter: name, software: /swiftshader|llvmpipe/i.test(name) || fallback };
}

async function load(request: LoadRequest): Promise<Answers["load"]> {
  const { engine, helpers } = device();
  const { files } = request;
  const names = files.map((file) => file.name);
  const model = engine.openModel(
    names,
    files.map((file) => file.bytes),
  );
  const number = nextModel++;
  // Weights are kept a second time only for those who may ask.
  models.set(number, { model, files: helpers ? files : [] });
  return { model: number, info: JSON.parse(model.info()) as ModelInfo };
}

async function labelMap(file: Blob): Promise<Module.Labels> {
  const { Labels } = device().module;
  return new Labels(new Uint8Array(await file.arrayBuffer()));
}

async function measure(id: number, request: MeasureRequest): Promise<LabelStatistics[]> {
  const labels = await labelMap(request.labels);
  try {
    if (request.image) await feed(id, request.image, (bytes) => labels.push(bytes));
    const report = JSON.parse(labels.measure(JSON.stringify(request.table)));
    return (report as { labels: LabelStatistics[] }).labels;
  } finally {
    labels.free();
  }
}

async function compare(request: CompareRequest): Promise<Overlap[]> {
  const first = await labelMap(request.labels[0]);
  try {
    const second = await labelMap(request.labels[1]);
    try {
      return JSON.parse(first.compare(second)) as Overlap[];
    } finally {
      second.free();
    }
  } finally {
    first.free();
  }
}

async function surface(request: SurfaceRequest): Promise<Uint8Array<ArrayBuffer>> {
  const labels = await labelMap(request.labels);
  try {
    const { format, smoothing } = request.options;
    return labels.surface(request.value, format, smoothing) as Uint8Array<ArrayBuffer>;
  } finally {
    labels.free();
  }
}

async function help(request: HelpRequest): Promise<null> {
  helper?.free();
  helper = undefined;
  const { model } = loaded(request.model);
  const shape = Uint32Array.from(request.shape);
  helper = device().engine.help(model, request.settings, shape, request.workers);
  return null;
}

async function piece(id: number, request: PieceRequest): Promise<Answers["piece"]> {
  if (!helper) throw new Error("no segmentation to help with");
  const { before, after } = request;
  const shape = Uint32Array.from(request.shape);
  const neighbours = new Neighbours(before, after);
  waiting.set(id, () => neighbours.end());
  if (cancelled.has(id)) neighbours.end();
  const tell = async (fraction: number) => {
    scope.postMessage({ id, phase: "network", fraction });
    await turn();
    return !cancelled.has(id);
  };
  const { exchange } = neighbours;
  const output = await helper.run(request.piece, request.values, shape, tell, exchange);
  const { classes, logits } = output;
  output.free();
  return { classes, logits };
}
