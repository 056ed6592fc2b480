/** Label maps as `.nii.gz` files, changed in place. */

/** `original` with other voxels: `indices` into `values`, one for each voxel. */
export async function withVoxels(
  original: Uint8Array<ArrayBuffer>,
  indices: Uint8Array,
  values: readonly number[],
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await piped(original, new DecompressionStream("gzip"));
  const view = new DataView(bytes.buffer);
  const [kind, start] = [view.getInt16(70, true), view.getFloat32(108, true)];
  const wide = { 2: false, 512: true }[kind];
  if (wide === undefined) throw new Error(`a label file of type ${kind}`);
  const size = wide ? 2 : 1;
  if (indices.length * size !== bytes.length - start) {
    throw new Error("the drawing has another shape than the labels");
  }
  indices.forEach((index, i) => {
    const value = values[index] ?? 0;
    if (wide) view.setUint16(start + 2 * i, value, true);
    else bytes[start + i] = value;
  });
  return piped(bytes, new CompressionStream("gzip"));
}

async function piped(
  bytes: Uint8Array<ArrayBuffer>,
  through: GenericTransformStream,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(through as TransformStream);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
