/** What page and worker say to each other. */

import type { PlainError } from "./errors.ts";
import type {
  DeviceInfo,
  GpuTiles,
  LabelEntry,
  LabelStatistics,
  ModelInfo,
  Overlap,
  Phase,
  Segmentation,
  SegmentSettings,
  SurfaceOptions,
} from "./types.ts";

/** A file of a model. */
export interface NamedBytes {
  name: string;
  bytes: Uint8Array;
}

/** A channel of an image: what can be read again, or once. */
export type Channel = Blob | ReadableStream<Uint8Array>;

export interface BeginRequest {
  op: "begin";
  /** Name of the lock that the worker holds as long as it lives. */
  lock?: string | undefined;
}

/** The modules: that of the CPU is there twice, once for engines with relaxed SIMD. */
export type Build = "cpu" | "cpu-relaxed" | "webgpu";

export interface OpenRequest {
  op: "open";
  build: Build;
  maxBufferBytes?: number | undefined;
  gpuTiles?: GpuTiles | undefined;
  wasmUrl?: string | undefined;
  /** Modules that share a segmentation on the CPU. */
  threads?: number | undefined;
  /** Compiled already. */
  module?: WebAssembly.Module;
}

export interface LoadRequest {
  op: "load";
  files: NamedBytes[];
}

export interface SegmentRequest {
  op: "segment";
  model: number;
  channels: Channel[];
  settings: SegmentSettings;
}

export interface ForwardRequest {
  op: "forward";
  model: number;
  values: Float32Array;
  shape: number[];
}

export interface FreeRequest {
  op: "free";
  model: number;
}

export interface MeasureRequest {
  op: "measure";
  labels: Blob;
  image?: Blob | undefined;
  table: LabelEntry[];
}

export interface CompareRequest {
  op: "compare";
  labels: [Blob, Blob];
}

export interface SurfaceRequest {
  op: "surface";
  labels: Blob;
  value: number;
  options: Required<SurfaceOptions>;
}

/** Makes ready for the pieces of a segmentation in another worker. */
export interface HelpRequest {
  op: "help";
  model: number;
  /** Options as JSON. */
  settings: string;
  shape: number[];
  /** Workers that the run is cut for. */
  workers: number;
}

/** One piece for another worker. */
export interface PieceRequest {
  op: "piece";
  piece: number;
  values: Float32Array;
  shape: number[];
  /** To those who run the pieces before and after it, where they run together. */
  before?: MessagePort | undefined;
  after?: MessagePort | undefined;
}

/** What a piece gave. */
export interface PieceAnswer {
  classes: Uint16Array | undefined;
  logits: Float32Array | undefined;
}

export type Request =
  | BeginRequest
  | OpenRequest
  | LoadRequest
  | SegmentRequest
  | ForwardRequest
  | FreeRequest
  | MeasureRequest
  | CompareRequest
  | SurfaceRequest
  | HelpRequest
  | PieceRequest;

/** What each request is answered with. */
export interface Answers {
  begin: null;
  open: DeviceInfo;
  load: { model: number; info: ModelInfo };
  segment: Segmentation;
  forward: Float32Array;
  free: null;
  measure: LabelStatistics[];
  compare: Overlap[];
  surface: Uint8Array<ArrayBuffer>;
  help: null;
  piece: PieceAnswer;
}

export type ToWorker = { id: number; request: Request } | { id: number; cancel: true };

export type FromWorker =
  | { id: number; value: Answers[keyof Answers] }
  | { id: number; error: PlainError; fatal: boolean }
  | { id: number; phase: Phase; fraction: number };
