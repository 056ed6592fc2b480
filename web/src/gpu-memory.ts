/** Counts the bytes of GPU buffers, of which the platform tells nothing. */

interface BufferLike {
  size: number;
  destroy(): void;
}

interface DeviceLike {
  createBuffer(descriptor: { size: number }): BufferLike;
}

let live = 0;
let peak = 0;
let largest = 0;

/** Counts all buffers made from now on. */
export function countBuffers(): void {
  const scope = globalThis as { GPUDevice?: { prototype: DeviceLike } };
  const device = scope.GPUDevice?.prototype;
  if (!device) return;
  // Buffers that are not destroyed live as long as their object.
  const collected = new FinalizationRegistry<number>((bytes) => (live -= bytes));
  const create = device.createBuffer;
  device.createBuffer = function (this: DeviceLike, descriptor) {
    const buffer = create.call(this, descriptor);
    const bytes = descriptor.size;
    live += bytes;
    peak = Math.max(peak, live);
    largest = Math.max(largest, bytes);
    collected.register(buffer, bytes, buffer);
    const destroy = buffer.destroy;
    buffer.destroy = () => {
      if (collected.unregister(buffer)) live -= bytes;
      destroy.call(buffer);
    };
    return buffer;
  };
}

/** Forgets the marks of earlier runs. */
export function resetMarks(): void {
  peak = live;
  largest = 0;
}

/** Bytes of all buffers at once and of the largest, since the last reset. */
export function marks(): { gpu: number; largestBuffer: number } {
  return { gpu: peak, largestBuffer: largest };
}
