/** What was dropped or chosen, sorted into images, weights and DICOM. */

/** Names of volumes. */
export const VOLUME = /\.(nii|nii\.gz|mgh|mgz|mgh\.gz)$/i;
/** Names of files of models. */
const WEIGHTS = /\.(amaes|json|bin|safetensors|pth|pt|ckpt|mpk|bpk|burnpack)$/i;

export interface Sorted {
  volumes: File[];
  weights: File[];
  dicom: File[];
}

/** Sorts files by their names; what has no name that is known may be DICOM. */
export async function sorted(files: readonly File[]): Promise<Sorted> {
  const out: Sorted = { volumes: [], weights: [], dicom: [] };
  for (const file of files) {
    if (VOLUME.test(file.name)) out.volumes.push(file);
    else if (await isDicom(file)) out.dicom.push(file);
    else if (WEIGHTS.test(file.name) || !/^\.|\.(txt|md|csv|png|jpg|xml)$/i.test(file.name)) {
      out.weights.push(file);
    }
  }
  // In a folder of DICOM, what lies beside it is no model.
  if (out.dicom.length > 0) out.weights = out.weights.filter((file) => WEIGHTS.test(file.name));
  return out;
}

/** Whether a file has DICOM's mark after its preamble. */
async function isDicom(file: File): Promise<boolean> {
  if (/\.(dcm|ima|dicom)$/i.test(file.name)) return true;
  if (file.size < 132) return false;
  const mark = new Uint8Array(await file.slice(128, 132).arrayBuffer());
  return String.fromCharCode(...mark) === "DICM";
}

/** All files that were dropped, those in folders too. */
export async function dropped(transfer: DataTransfer): Promise<File[]> {
  // Entries are gone once the event is over: all are taken before anything is awaited.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return plain;
  const files = await Promise.all(entries.map((entry) => (entry ? inside(entry) : [])));
  return files.flat();
}

async function inside(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    // A file from a folder keeps no path of its own.
    Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.slice(1) });
    return [file];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    // A reader gives a hundred at a time.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) break;
    all.push(...some);
  }
  return (await Promise.all(all.map(inside))).flat();
}

/**
 * Bytes of voxels that the header of a volume promises, before anything is allocated for them;
 * infinite where the file cannot keep the promise, 0 where it is no volume.
 */
export async function promised(file: File): Promise<number> {
  const gzip = new Uint8Array(await file.slice(0, 2).arrayBuffer())[0] === 0x1f;
  const header = new Uint8Array(352);
  let length = 0;
  const source = file.slice(0, 65536).stream();
  const plain = gzip ? source.pipeThrough(new DecompressionStream("gzip")) : source;
  const reader = plain.getReader();
  try {
    while (length < header.length) {
      const { done, value } = await reader.read();
      if (done) break;
      const part = value.subarray(0, header.length - length);
      header.set(part, length);
      length += part.length;
    }
  } catch {
    // A cut stream ends with an error: what came before it counts.
  } finally {
    reader.cancel().catch(() => undefined);
  }
  const view = new DataView(header.buffer);
  const little = view.getInt32(0, true) === 348;
  let bytes = 0;
  if (little || view.getInt32(0, false) === 348) {
    const dims = [1, 2, 3, 4].map((i) => Math.max(1, view.getInt16(40 + 2 * i, little)));
    const used = dims.slice(0, view.getInt16(40, little));
    bytes = used.reduce((a, b) => a * b, view.getInt16(72, little) / 8);
  } else if (view.getInt32(0, false) === 1) {
    const sizes: Record<number, number> = { 0: 1, 1: 4, 3: 4, 4: 2 };
    const dims = [4, 8, 12, 16].map((at) => view.getInt32(at, false));
    bytes = dims.reduce((a, b) => a * b, sizes[view.getInt32(20, false)] ?? 1);
  }
  return !gzip && bytes > file.size ? Infinity : bytes;
}
