/** What page and worker say to each other. */

import type { PlainError } from "./errors.ts";
import type { DeviceInfo, ModelInfo, Phase, Segmentation, SegmentSettings } from "./types.ts";

/** A file of a model. */
export interface NamedBytes {
  name: string;
  bytes: Uint8Array;
}

/** A channel of an image: what can be read again, or once. */
export type Channel = Blob | ReadableStream<Uint8Array>;

export interface OpenRequest {
  op: "open";
  backend: "webgpu" | "cpu";
  maxBufferBytes?: number | undefined;
  wasmUrl?: string | undefined;
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

export type Request = OpenRequest | LoadRequest | SegmentRequest | ForwardRequest | FreeRequest;

/** What each request is answered with. */
export interface Answers {
  open: DeviceInfo;
  load: { model: number; info: ModelInfo };
  segment: Segmentation;
  forward: Float32Array;
  free: null;
}

export type ToWorker = { id: number; request: Request } | { id: number; cancel: true };

export type FromWorker =
  | { id: number; value: Answers[keyof Answers] }
  | { id: number; error: PlainError; fatal: boolean }
  | { id: number; phase: Phase; fraction: number };
