/** The image with its labels, by NiiVue on WebGL2, so that it leaves the GPU's compute alone. */

import { Niivue, NVImage } from "@niivue/niivue";
import { promised } from "./files.ts";
import { withVoxels } from "./label-file.ts";
import type { LabelEntry } from "./types.ts";

/** Where the crosshair or the pointer is, in words. */
export type OnLocation = (text: string) => void;

/** Bytes of voxels that can be shown: the viewer holds several copies. */
const MOST_BYTES = 2 ** 29;

/** Values of NiiVue's slice types. */
const LAYOUTS = { axial: 0, coronal: 1, sagittal: 2, all: 3, render: 4 } as const;
export type Layout = keyof typeof LAYOUTS;

/** Voxels that a key moves the crosshair by. */
const KEYS: Record<string, [number, number, number]> = {
  ArrowLeft: [-1, 0, 0],
  ArrowRight: [1, 0, 0],
  ArrowUp: [0, 1, 0],
  ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1],
  PageDown: [0, 0, -1],
};

export class Viewer {
  readonly #niivue: Niivue;
  #table: LabelEntry[] = [];
  #hidden = new Set<number>();
  #opacity = 0.5;

  private constructor(
    niivue: Niivue,
    private readonly onLocation: OnLocation,
  ) {
    this.#niivue = niivue;
  }

  static async create(canvas: HTMLCanvasElement, onLocation: OnLocation): Promise<Viewer> {
    const niivue = new Niivue({
      backColor: [0, 0, 0, 1],
      show3Dcrosshair: true,
      // The page takes what is dropped.
      dragAndDropEnabled: false,
      loadingText: "",
    });
    await niivue.attachToCanvas(canvas);
    const viewer = new Viewer(niivue, onLocation);
    niivue.onLocationChange = (location) => {
      const { mm } = location as { mm: ArrayLike<number> };
      viewer.#tell([mm[0] ?? 0, mm[1] ?? 0, mm[2] ?? 0]);
    };
    canvas.addEventListener("pointermove", (event) => viewer.#hover(event, canvas));
    canvas.addEventListener("keydown", (event) => {
      const step = KEYS[event.key];
      if (!step || niivue.volumes.length === 0) return;
      event.preventDefault();
      niivue.moveCrosshairInVox(...step);
      niivue.createOnLocationChange();
    });
    return viewer;
  }

  /** Names what is under the pointer. */
  #hover(event: PointerEvent, canvas: HTMLCanvasElement): void {
    const niivue = this.#niivue;
    if (niivue.volumes.length === 0 || event.buttons !== 0) return;
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    const place = [event.clientX - box.left, event.clientY - box.top].map((v) => v * scale);
    const frac = niivue.canvasPos2frac(place);
    if (frac[0] < 0) return;
    const mm = niivue.frac2mm(frac);
    this.#tell([mm[0] ?? 0, mm[1] ?? 0, mm[2] ?? 0]);
  }

  /** Says a place in world mm, the intensity there and the label. */
  #tell(mm: [number, number, number]): void {
    const niivue = this.#niivue;
    const frac = niivue.mm2frac(mm);
    // The labels lie on the image's own grid.
    const dims = niivue.volumes[0]?.dimsRAS?.slice(1, 4);
    if (!dims) return;
    const [x = 0, y = 0, z = 0] = dims.map((n, axis) => Math.round((frac[axis] ?? 0) * n - 0.5));
    const [image, overlay] = niivue.volumes.map((volume) => volume.getValue(x, y, z));
    let label = overlay;
    if (niivue.drawBitmap && label !== undefined) {
      // The drawing stands for the labels while they are edited.
      const index = x + (dims[0] ?? 0) * (y + (dims[1] ?? 0) * z);
      label = this.#table[niivue.drawBitmap[index] ?? 0]?.value;
    }
    const entry = label ? this.#table.find((e) => e.value === label) : undefined;
    const place = mm.map((v) => v.toFixed(0)).join(", ");
    const name = label && !this.#hidden.has(label) ? (entry?.name ?? `label ${label}`) : "";
    this.onLocation(`${place} mm  ${image?.toFixed(0) ?? ""}  ${name}`);
  }

  setLayout(layout: Layout): void {
    this.#niivue.setSliceType(LAYOUTS[layout]);
  }

  /** Shows an image alone. */
  async showImage(file: File): Promise<void> {
    if ((await promised(file)) > MOST_BYTES) throw new Error("the image is too large to be shown");
    const image = await NVImage.loadFromFile({ file, name: file.name });
    this.clear();
    this.#niivue.addVolume(image);
  }

  /** Shows nothing. */
  clear(): void {
    this.closePen();
    while (this.#niivue.volumes.length > 0) this.#niivue.removeVolumeByIndex(0);
  }

  /** Lays labels over the image; `hidden` are those that are not shown. */
  async showLabels(
    file: Uint8Array<ArrayBuffer>,
    table: LabelEntry[],
    hidden: ReadonlySet<number>,
  ): Promise<void> {
    const overlay = await NVImage.loadFromFile({
      file: new File([file], "labels.nii.gz"),
      name: "labels.nii.gz",
      opacity: this.#opacity,
    });
    this.closePen();
    while (this.#niivue.volumes.length > 1) this.#niivue.removeVolumeByIndex(1);
    this.#table = table;
    this.#hidden = new Set(hidden);
    overlay.setColormapLabel(this.#colours());
    this.#niivue.addVolume(overlay);
  }

  #colours() {
    const table = this.#table;
    return {
      R: table.map((e) => e.color[0]),
      G: table.map((e) => e.color[1]),
      B: table.map((e) => e.color[2]),
      A: table.map((e) => (e.value === 0 || this.#hidden.has(e.value) ? 0 : 255)),
      I: table.map((e) => e.value),
      labels: table.map((e) => e.name),
    };
  }

  setOpacity(opacity: number): void {
    this.#opacity = opacity;
    if (this.#niivue.drawBitmap) this.#niivue.setDrawOpacity(opacity);
    else if (this.#niivue.volumes.length > 1) this.#niivue.setOpacity(1, opacity);
  }

  /** Shows all labels but those in `hidden`, in the colours of `table`. */
  setLabels(table: LabelEntry[], hidden: ReadonlySet<number>): void {
    this.#table = table;
    this.#hidden = new Set(hidden);
    const overlay = this.#niivue.volumes[1];
    if (!overlay) return;
    overlay.setColormapLabel(this.#colours());
    this.#niivue.updateGLVolume();
  }

  /** Moves the crosshair to a place in world mm. */
  goTo(mm: [number, number, number]): void {
    this.#niivue.scene.crosshairPos = this.#niivue.mm2frac(mm);
    this.#niivue.createOnLocationChange();
    this.#niivue.drawScene();
  }

  /** Saves what is shown as PNG. */
  async savePicture(name: string): Promise<void> {
    await this.#niivue.saveScene(name);
  }

  /** Whether the labels that are shown can be edited: a drawing has eight bits. */
  get editable(): boolean {
    return this.#niivue.volumes.length > 1 && this.#table.length <= 256;
  }

  /** Opens the labels for the pen, which draws indices of the table. */
  openPen(): void {
    const [overlay, niivue] = [this.#niivue.volumes[1], this.#niivue];
    if (!overlay?.img || !this.editable) throw new Error("no labels to edit");
    const index = new Map(this.#table.map((entry, i) => [entry.value, i]));
    const drawing = overlay.clone();
    drawing.img = Uint8Array.from(overlay.img as Uint8Array, (v) => index.get(v) ?? 0);
    const colours = { ...this.#colours(), I: this.#table.map((_, i) => i) };
    colours.A = this.#table.map((_, i) => (i === 0 ? 0 : 255));
    // The types know names of colour maps only.
    niivue.setDrawColormap(colours as unknown as string);
    if (!niivue.loadDrawing(drawing)) throw new Error("the labels do not lie on the image's grid");
    niivue.setOpacity(1, 0);
    niivue.setDrawOpacity(this.#opacity);
    niivue.setDrawingEnabled(true);
  }

  /** What the pen draws: the label of this value, 0 to erase. */
  setPen(value: number, width: number, filled: boolean): void {
    const index = Math.max(0, this.#table.findIndex((entry) => entry.value === value));
    this.#niivue.opts.penSize = width;
    this.#niivue.setPenValue(index, filled);
  }

  undo(): void {
    this.#niivue.drawUndo();
  }

  /** The labels with what was drawn, as a file like `original`. */
  async drawn(original: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const saved = await this.#niivue.saveImage({
      filename: "",
      isSaveDrawing: true,
      volumeByIndex: 0,
    });
    if (!(saved instanceof Uint8Array)) throw new Error("there is no drawing");
    const start = new DataView(saved.buffer, saved.byteOffset).getFloat32(108, true);
    const values = this.#table.map((entry) => entry.value);
    return withVoxels(original, saved.subarray(start), values);
  }

  /** Closes the pen; the labels are shown as they were. */
  closePen(): void {
    if (!this.#niivue.drawBitmap) return;
    this.#niivue.setDrawingEnabled(false);
    this.#niivue.closeDrawing();
    if (this.#niivue.volumes.length > 1) this.#niivue.setOpacity(1, this.#opacity);
  }
}
