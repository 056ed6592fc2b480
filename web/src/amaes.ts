/**
 * amaes: segments brain MRI in the browser. All work happens in a web worker on this device;
 * nothing leaves it.
 *
 * ```ts
 * const amaes = await Amaes.create({ backend: "auto" });
 * const model = await amaes.loadModel("models/tissue.amaes");
 * const { native, statistics } = await model.segment(file, { onProgress: console.log });
 * ```
 */

import { cancelled, WorkerChannel } from "./channel.ts";
import { statisticsCsv } from "./csv.ts";
import { AmaesError, type ErrorKind } from "./errors.ts";
import { fetchModel } from "./fetch.ts";
import type { Build, Channel, NamedBytes } from "./protocol.ts";
import type {
  DeviceInfo,
  GpuTiles,
  LabelEntry,
  LabelStatistics,
  ModelInfo,
  Overlap,
  Progress,
  Segmentation,
  SegmentSettings,
  SurfaceOptions,
} from "./types.ts";

export { AmaesError, type ErrorKind, statisticsCsv };
export type * from "./types.ts";

/** Which device computes. `auto` takes WebGPU where a graphics card answers, else the CPU. */
export type Backend = "auto" | "webgpu" | "cpu";

export interface CreateOptions {
  backend?: Backend;
  /** Bytes that no GPU buffer may exceed, such as `128 << 20`. */
  maxBufferBytes?: number;
  /**
   * Sizes of the graphics card's kernels, as `amaes tune --json` prints them, in place of those
   * for cards of its kind. Results differ in their last digits.
   */
  gpuTiles?: GpuTiles;
  /**
   * Where the WebAssembly modules are, when not beside the script. `cpuRelaxed` is for engines with
   * relaxed SIMD; where only `cpu` is given all use that.
   */
  wasmUrl?: { cpu?: string; cpuRelaxed?: string; webgpu?: string };
  /**
   * Workers that share a segmentation on the CPU; by default one for each core, at most four. The
   * result is the same with any number.
   */
  threads?: number;
}

/** A model's files: an address, one file, or several (a TensorFlow.js model, weights and JSON). */
export type ModelSource = string | URL | Blob | ArrayBuffer | Uint8Array | readonly File[];

export interface LoadOptions {
  /** SHA-256 of the file at an address, hexadecimal; with it the file is kept for the next time. */
  sha256?: string;
  /** Bytes so far, and in all where known. */
  onProgress?: (done: number, total: number | undefined) => void;
  signal?: AbortSignal;
}

/** An image, or one channel of it. A stream is read once, so intensities are not measured. */
export type ImageSource = Blob | ArrayBuffer | Uint8Array | ReadableStream<Uint8Array>;

export interface SegmentOptions extends SegmentSettings {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

/** A label map: a NIfTI or MGH file, such as {@link Segmentation.native}. */
export type LabelSource = Blob | ArrayBuffer | Uint8Array;

/** A worker and the device that is open in it. */
interface Engine {
  channel: WorkerChannel;
  info: DeviceInfo;
}

/** The most modules that share a segmentation by default: each takes memory of its own. */
const MOST_THREADS = 4;

// A function of one instruction, `f32x4.relaxed_madd`.
const RELAXED = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 11,
]);

/** A device in a worker, which models are loaded on. */
export class Amaes {
  #engine: Engine | undefined;
  #opening: Promise<Engine> | undefined;
  #disposed = false;

  private constructor(
    private readonly options: CreateOptions,
    private backend: "webgpu" | "cpu",
    private readonly fallback: string | undefined,
  ) {}

  /**
   * Opens a device.
   *
   * Rejects with an {@link AmaesError} of the kind `device` where there is none.
   */
  static async create(options: CreateOptions = {}): Promise<Amaes> {
    const wanted = options.backend ?? "auto";
    if (wanted !== "auto") {
      const amaes = new Amaes(options, wanted, undefined);
      await amaes.engine();
      return amaes;
    }
    let reason: string;
    try {
      const amaes = new Amaes(options, "webgpu", undefined);
      const { info } = await amaes.engine();
      if (!info.software) return amaes;
      amaes.dispose();
      reason = "WebGPU runs on the processor here, where the CPU backend is faster";
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
    const amaes = new Amaes(options, "cpu", reason);
    await amaes.engine();
    return amaes;
  }

  /** The device; after a crash, the one that replaced it. */
  get device(): DeviceInfo | undefined {
    return this.#engine?.info;
  }

  /** @internal The worker, started where there is none. */
  async engine(): Promise<Engine> {
    if (this.#disposed) {
      throw new AmaesError("order", "this engine has been disposed of", "Create another.");
    }
    if (this.#engine) return this.#engine;
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #open(): Promise<Engine> {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    const channel: WorkerChannel = new WorkerChannel(worker, () => {
      if (this.#engine?.channel === channel) this.#engine = undefined;
    });
    const { maxBufferBytes, gpuTiles, wasmUrl, threads } = this.options;
    const cores = Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS);
    const { build, url } = chosen(this.backend, wasmUrl ?? {});
    try {
      await channel.begin();
      const info = await channel.ask({
        op: "open",
        build,
        maxBufferBytes,
        gpuTiles,
        // Relative to the page, not to the worker.
        wasmUrl: url === undefined ? undefined : new URL(url, document.baseURI).href,
        threads: Math.max(1, Math.floor(threads ?? cores)),
      });
      if (this.fallback !== undefined) info.fallback = this.fallback;
      const engine = { channel, info };
      if (this.#disposed) throw cancelled();
      this.#engine = engine;
      return engine;
    } catch (error) {
      channel.close(cancelled());
      throw error;
    }
  }

  /**
   * Loads a model.
   *
   * Rejects with an {@link AmaesError}: `network` where an address cannot be fetched or does not
   * hold what `sha256` says, `model` where the files hold no model.
   */
  async loadModel(source: ModelSource, options: LoadOptions = {}): Promise<AmaesModel> {
    const files = await named(source, options);
    const model = new AmaesModel(this, files);
    await model.load();
    return model;
  }

  /** Ends the worker and frees all memory. Work in progress is cancelled. */
  dispose(): void {
    this.#disposed = true;
    this.#engine?.channel.close(cancelled());
  }

  /**
   * Measures a label map, such as one that was edited; with intensities where the image that it
   * lies on is given.
   */
  async measure(
    labels: LabelSource,
    table: readonly LabelEntry[],
    image?: LabelSource,
  ): Promise<LabelStatistics[]> {
    const { channel } = await this.engine();
    return channel.ask({
      op: "measure",
      labels: blob(labels),
      image: image && blob(image),
      table: [...table],
    });
  }

  /**
   * Dice's coefficient for each label of two maps on the same grid.
   *
   * Rejects with an {@link AmaesError} of the kind `image` where the grids differ.
   */
  async compare(first: LabelSource, second: LabelSource): Promise<Overlap[]> {
    const { channel } = await this.engine();
    return channel.ask({ op: "compare", labels: [blob(first), blob(second)] });
  }

  /**
   * The surface about a label as a file: a closed triangle mesh in the scanner's mm (RAS+).
   *
   * Rejects with an {@link AmaesError} of the kind `option` where no voxel has the label.
   */
  async surface(
    labels: LabelSource,
    value: number,
    { format = "stl", smoothing = 10 }: SurfaceOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { channel } = await this.engine();
    const options = { format, smoothing };
    return channel.ask({ op: "surface", labels: blob(labels), value, options });
  }
}

/** The module for this engine, and where it is unless it is beside the script. */
function chosen(
  backend: "webgpu" | "cpu",
  urls: NonNullable<CreateOptions["wasmUrl"]>,
): { build: Build; url: string | undefined } {
  const ours = urls.cpu === undefined || urls.cpuRelaxed !== undefined;
  if (backend === "cpu" && ours && WebAssembly.validate(RELAXED)) {
    return { build: "cpu-relaxed", url: urls.cpuRelaxed };
  }
  return { build: backend, url: urls[backend] };
}

/** The files of a model, read. */
async function named(source: ModelSource, options: LoadOptions): Promise<NamedBytes[]> {
  if (typeof source === "string" || source instanceof URL) {
    return fetchModel(new URL(source, document.baseURI), options);
  }
  if (source instanceof ArrayBuffer) return [{ name: "model", bytes: new Uint8Array(source) }];
  if (source instanceof Uint8Array) return [{ name: "model", bytes: source }];
  const files = source instanceof Blob ? [source] : source;
  return Promise.all(
    files.map(async (file) => ({
      name: file instanceof File ? file.webkitRelativePath || file.name : "model",
      bytes: new Uint8Array(await file.arrayBuffer()),
    })),
  );
}

/** A model on its device. */
export class AmaesModel {
  #info: ModelInfo | undefined;
  #loaded: { engine: Engine; model: number } | undefined;

  /** @internal */
  constructor(
    private readonly amaes: Amaes,
    /** Kept to load the model again where the worker had to be replaced. */
    private readonly files: readonly NamedBytes[],
  ) {}

  /** @internal */
  async load(): Promise<{ engine: Engine; model: number }> {
    const engine = await this.amaes.engine();
    if (this.#loaded?.engine === engine) return this.#loaded;
    const { model, info } = await engine.channel.ask({ op: "load", files: [...this.files] });
    this.#info = info;
    this.#loaded = { engine, model };
    return this.#loaded;
  }

  /** What is known about the model. */
  info(): ModelInfo {
    if (!this.#info) throw new AmaesError("order", "the model is not loaded", "Load it first.");
    return this.#info;
  }

  /**
   * Segments an image, or the channels of one in the model's order.
   *
   * Rejects with an {@link AmaesError}; after any of them the model can be used again.
   */
  async segment(
    image: ImageSource | readonly ImageSource[],
    { signal, onProgress, ...settings }: SegmentOptions = {},
  ): Promise<Segmentation> {
    const sources = Array.isArray(image) ? (image as ImageSource[]) : [image as ImageSource];
    const channels = sources.map(channel);
    const { engine, model } = await this.load();
    const transfer = channels.filter((c): c is ReadableStream<Uint8Array> => !(c instanceof Blob));
    return engine.channel.ask(
      { op: "segment", model, channels, settings },
      { signal, onProgress, transfer: transfer as unknown as Transferable[] },
    );
  }

  /**
   * What the network puts out for an input of the shape `[batch, channels, x, y, z]`, last axis
   * fastest, without preprocessing and tiling.
   */
  async forward(values: Float32Array, shape: number[]): Promise<Float32Array> {
    const { engine, model } = await this.load();
    return engine.channel.ask({ op: "forward", model, values, shape });
  }

  /** Frees the model's memory. */
  dispose(): void {
    const loaded = this.#loaded;
    this.#loaded = undefined;
    // A worker that is gone has freed it.
    loaded?.engine.channel.ask({ op: "free", model: loaded.model }).catch(() => undefined);
  }
}

function channel(source: ImageSource): Channel {
  if (source instanceof Blob || source instanceof ReadableStream) return source;
  return blob(source);
}

function blob(source: LabelSource): Blob {
  return source instanceof Blob ? source : new Blob([source as BlobPart]);
}
