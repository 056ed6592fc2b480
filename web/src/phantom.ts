/**
 * A head made of ellipsoids, and a network that names its parts: something to try the page with
 * before any image or model is at hand. Neither is of any use for a real brain.
 */

const SIZE = [96, 112, 96] as const;
const VOXEL = 2;

/** Intensities of cerebrospinal fluid, grey and white matter. */
const TISSUES = [70, 140, 220] as const;

/** Noise that is the same every time (a linear congruential generator). */
function noise(): () => number {
  let state = 12345;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A NIfTI-1 file of the phantom: 96 x 112 x 96 voxels of 2 mm, RAS, unsigned bytes. */
export function phantomImage(): File {
  const [nx, ny, nz] = SIZE;
  const bytes = new ArrayBuffer(352 + nx * ny * nz);
  const view = new DataView(bytes);
  view.setInt32(0, 348, true);
  [3, nx, ny, nz, 1, 1, 1, 1].forEach((n, i) => view.setInt16(40 + 2 * i, n, true));
  view.setInt16(70, 2, true);
  view.setInt16(72, 8, true);
  [1, VOXEL, VOXEL, VOXEL].forEach((n, i) => view.setFloat32(76 + 4 * i, n, true));
  view.setFloat32(108, 352, true);
  view.setUint8(123, 2);
  view.setInt16(254, 1, true);
  SIZE.forEach((n, axis) => {
    view.setFloat32(280 + 16 * axis + 4 * axis, VOXEL, true);
    view.setFloat32(280 + 16 * axis + 12, (-VOXEL * (n - 1)) / 2, true);
  });
  view.setUint32(344, 0x6e2b3100, false);
  const voxels = new Uint8Array(bytes, 352);
  const random = noise();
  let at = 0;
  for (let k = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      for (let i = 0; i < nx; i++) {
        const tissue = TISSUES[part(i - (nx - 1) / 2, j - (ny - 1) / 2, k - (nz - 1) / 2)];
        voxels[at++] = tissue === undefined ? 0 : tissue + 16 * (random() - 0.5);
      }
    }
  }
  return new File([bytes], "phantom.nii");
}

/** Index of the tissue at a place in voxels from the centre, or -1 outside. */
function part(x: number, y: number, z: number): number {
  const within = (rx: number, ry: number, rz: number) =>
    (x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2;
  const angle = Math.atan2(y, x);
  const fold = 1 + 0.05 * Math.sin(9 * angle + z / 3) * Math.sin(z / 4 + 2 * angle);
  if (within(36, 44, 36) > 1) return -1;
  // Two ventricles and the gap between the hemispheres.
  const ventricle = ((Math.abs(x) - 5) / 3) ** 2 + ((y - 2) / 14) ** 2 + ((z - 4) / 6) ** 2 < 1;
  const gap = Math.abs(x) < 1 && z > 8;
  if (within(33, 41, 33) > fold ** 2 || ventricle || gap) return 0;
  return within(28, 36, 28) > fold ** 2 ? 1 : 2;
}

/** Files of the network: weights, their description, names and colours. */
export function phantomModel(): File[] {
  const means = [0, ...TISSUES].map((v) => v / 228);
  // The nearest mean wins: m x - m^2 / 2 is largest for it.
  const smooth = new Float32Array(27).fill(0.02);
  smooth[13] = 1 - 26 * 0.02;
  const weights = safetensors({
    "convs.0.weight": [[1, 1, 3, 3, 3], smooth],
    "convs.0.bias": [[1], Float32Array.of(0)],
    "convs.1.weight": [[4, 1, 1, 1, 1], Float32Array.from(means)],
    "convs.1.bias": [[4], Float32Array.from(means, (m) => (-m * m) / 2)],
  });
  const spec = {
    in_channels: 1,
    out_channels: 4,
    layers: [{ channels: 1, dilation: 1 }],
    activation: "relu",
    norm: false,
    bias: true,
  };
  const colours = {
    R: [0, 60, 190, 235],
    G: [0, 120, 90, 220],
    B: [0, 220, 110, 170],
    labels: ["background", "fluid", "grey matter", "white matter"],
  };
  return [
    new File([weights], "phantom.safetensors"),
    new File([JSON.stringify(spec)], "phantom.json"),
    new File([JSON.stringify(colours)], "colormap.json"),
  ];
}

function safetensors(tensors: Record<string, [number[], Float32Array]>): Blob {
  let offset = 0;
  const header: Record<string, unknown> = {};
  const parts: BlobPart[] = [];
  for (const [name, [shape, values]] of Object.entries(tensors)) {
    const end = offset + values.byteLength;
    header[name] = { dtype: "F32", shape, data_offsets: [offset, end] };
    offset = end;
    parts.push(values as Float32Array<ArrayBuffer>);
  }
  const text = JSON.stringify(header);
  const json = new TextEncoder().encode(text + " ".repeat((8 - (text.length % 8)) % 8));
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(json.length), true);
  return new Blob([length.buffer, json, ...parts]);
}
