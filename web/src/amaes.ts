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

import { AmaesError, type ErrorKind, type PlainError } from "./errors.ts";
import { fetchModel } from "./fetch.ts";
import type { Answers, Channel, FromWorker, NamedBytes, Request } from "./protocol.ts";
import type { DeviceInfo, ModelInfo, Progress, Segmentation, SegmentSettings } from "./types.ts";

export { AmaesError, type ErrorKind };
export type * from "./types.ts";

/** Which device computes. `auto` takes WebGPU where a graphics card answers, else the CPU. */
export type Backend = "auto" | "webgpu" | "cpu";

export interface CreateOptions {
  backend?: Backend;
  /** Bytes that no GPU buffer may exceed, such as `128 << 20`. */
  maxBufferBytes?: number;
  /** Where the WebAssembly modules are, when not beside the script. */
  wasmUrl?: { cpu?: string; webgpu?: string };
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

interface Pending {
  resolve: (value: never) => void;
  reject: (error: AmaesError) => void;
  onProgress: ((progress: Progress) => void) | undefined;
  /** When the network began. */
  started?: number;
}

/** A worker and the device that is open in it. */
class Engine {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #dead: AmaesError | undefined;
  info!: DeviceInfo;

  constructor(
    /** Told when the worker is of no more use. */
    private readonly onDeath: () => void,
  ) {
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const hint = "Start again; if it happens once more, reload the page.";
      this.close(new AmaesError("crashed", event.message || "the worker stopped", hint));
    };
  }

  #receive(data: FromWorker): void {
    const pending = this.#pending.get(data.id);
    if (!pending) return;
    if ("phase" in data) {
      const progress: Progress = { phase: data.phase, fraction: data.fraction };
      if (data.phase === "network") {
        pending.started ??= performance.now();
        const seconds = (performance.now() - pending.started) / 1000;
        if (data.fraction > 0) {
          progress.secondsLeft = (seconds / data.fraction) * (1 - data.fraction);
        }
      }
      pending.onProgress?.(progress);
      return;
    }
    this.#pending.delete(data.id);
    if ("value" in data) {
      pending.resolve(data.value as never);
      return;
    }
    const error = revive(data.error);
    pending.reject(error);
    if (data.fatal) this.close(error);
  }

  ask<R extends Request>(
    request: R,
    options: {
      signal?: AbortSignal | undefined;
      onProgress?: ((progress: Progress) => void) | undefined;
      transfer?: Transferable[];
    } = {},
  ): Promise<Answers[R["op"]]> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (this.#dead) return reject(this.#dead);
      if (signal?.aborted) return reject(cancelled());
      const id = this.#next++;
      const cancel = () => this.#worker.postMessage({ id, cancel: true });
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          signal?.removeEventListener("abort", cancel);
          then(value);
        };
      const pending = {
        resolve: settle(resolve as (value: never) => void),
        reject: settle(reject),
        onProgress: options.onProgress,
      };
      this.#pending.set(id, pending);
      signal?.addEventListener("abort", cancel);
      this.#worker.postMessage({ id, request }, options.transfer ?? []);
    });
  }

  close(error: AmaesError): void {
    if (this.#dead) return;
    this.#dead = error;
    this.#worker.terminate();
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
    this.onDeath();
  }
}

function revive({ kind, message, hint }: PlainError): AmaesError {
  return new AmaesError(kind, message, hint);
}

function cancelled(): AmaesError {
  return new AmaesError("cancelled", "cancelled", "Start again when you like.");
}

/** A device in a worker, which models are loaded on. */
export class Amaes {
  #engine: Engine | undefined;
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
    const engine: Engine = new Engine(() => {
      if (this.#engine === engine) this.#engine = undefined;
    });
    engine.info = await engine
      .ask({
        op: "open",
        backend: this.backend,
        maxBufferBytes: this.options.maxBufferBytes,
        wasmUrl: this.options.wasmUrl?.[this.backend],
      })
      .catch((error: AmaesError) => {
        engine.close(error);
        throw error;
      });
    if (this.fallback !== undefined) engine.info.fallback = this.fallback;
    this.#engine = engine;
    return engine;
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
    this.#engine?.close(cancelled());
  }
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
    const { model, info } = await engine.ask({ op: "load", files: [...this.files] });
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
    return engine.ask(
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
    return engine.ask({ op: "forward", model, values, shape });
  }

  /** Frees the model's memory. */
  dispose(): void {
    const loaded = this.#loaded;
    this.#loaded = undefined;
    // A worker that is gone has freed it.
    loaded?.engine.ask({ op: "free", model: loaded.model }).catch(() => undefined);
  }
}

function channel(source: ImageSource): Channel {
  if (source instanceof Blob || source instanceof ReadableStream) return source;
  return new Blob([source as BlobPart]);
}
