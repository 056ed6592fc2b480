/** The values that the library gives and takes. */

/**
 * How much of a convolution an invocation on the graphics card computes: powers of two. Quads are
 * fours of output channels, voxels are planes and rows.
 */
export interface GpuTiles {
  quads: number;
  voxels: [number, number];
  pointwiseQuads: number;
  gradientQuads: number;
  /** Invocations in a workgroup. */
  workgroup: number;
  /** Invocations below which tiles shrink. */
  busy: number;
}

/** The device that computes. */
export interface DeviceInfo {
  backend: "webgpu" | "cpu";
  /** Name of the graphics card, as far as the browser tells it. */
  adapter: string;
  /** Whether WebGPU runs on the processor. */
  software?: boolean;
  /** Workers that share a segmentation. */
  threads: number;
  /** Bytes of the largest buffer that is used, where there is a limit. */
  maxBufferBytes: number | null;
  /** Sizes of the graphics card's kernels. */
  gpuTiles?: GpuTiles;
  /** Why `auto` did not take WebGPU. */
  fallback?: string;
}

/** A class of a network. */
export interface LabelEntry {
  /** Value in the label map. */
  value: number;
  name: string;
  color: [number, number, number];
}

/** What is known about a model. */
export interface ModelInfo {
  network: string;
  /** Images that it reads at once. */
  channels: number;
  classes: number;
  parameters: number;
  /** Format of its file. */
  format: string;
  spec: unknown;
  plan: unknown;
  labels: LabelEntry[];
  provenance: {
    source: string;
    sha256?: string;
    licence?: string;
    url?: string;
    notes?: string;
  };
  /** What was assumed or left out. */
  notes: string[];
}

/** Measurements of one label. */
export interface LabelStatistics {
  value: number;
  name: string;
  voxels: number;
  /** Millilitres. */
  volume_ml: number;
  /** Mean intensity, where the image could be read twice. */
  mean: number | null;
  std: number | null;
  /** World mm, RAS+. */
  centroid_mm: [number, number, number] | null;
  bounding_box: { start: [number, number, number]; end: [number, number, number] } | null;
}

/** Which connected components are kept. */
export type Keep = "all" | "largest" | "largest_per_label";

/** What may be chosen for one segmentation. */
export interface SegmentSettings {
  cleaning?: {
    keep?: Keep;
    /** mm^3. */
    minimum_mm3?: number;
    fill_holes?: boolean;
  };
  /** Edges of the sliding window; the model's own by default. */
  patch?: [number, number, number];
  /** Share of a window that the next one covers again. */
  overlap?: number;
  /** Average over the eight mirror images. */
  mirror?: boolean;
  /** Index of the volume in a file that has several. */
  volume?: number;
  /** Bytes that activations may take at once. */
  memoryLimit?: number;
  /** Bytes of the largest buffer. */
  maxBufferBytes?: number;
}

/** What a segmentation is doing. */
export type Phase = "read" | "network" | "finish";

export interface Progress {
  phase: Phase;
  /** Of the phase, 0 to 1. */
  fraction: number;
  /** Of the network, once it can be told. */
  secondsLeft?: number;
}

/** Seconds. */
export interface Timings {
  read: number;
  prepare: number;
  network: number;
  finish: number;
}

/** High-water marks in bytes. */
export interface Memory {
  /** Of the WebAssembly module. */
  wasm: number;
  /** Of all GPU buffers at once. */
  gpu: number;
  /** Of the largest GPU buffer. */
  largestBuffer: number;
}

/** A segmented image. */
export interface Segmentation {
  /** Labels on the image's own grid: a `.nii.gz` file. */
  native: Uint8Array<ArrayBuffer>;
  /** Labels on the grid that the network saw: a `.nii.gz` file. */
  prepared: Uint8Array<ArrayBuffer>;
  /** On the native grid. */
  statistics: LabelStatistics[];
  timings: Timings;
  memory: Memory;
}

/** How well two label maps agree about one label. */
export interface Overlap {
  value: number;
  /** Dice's coefficient, 0 to 1. */
  dice: number;
}

export interface SurfaceOptions {
  /** Binary STL (the default) or PLY. */
  format?: "stl" | "ply";
  /** Rounds of smoothing that keeps the volume; 0 leaves the steps of voxels. */
  smoothing?: number;
}
