/** The image with its labels, by NiiVue on WebGL2, so that it leaves the GPU's compute alone. */

import { Niivue, NVImage } from "@niivue/niivue";
import type { LabelEntry } from "./types.ts";

/** Where the crosshair is, in words. */
export type OnLocation = (text: string) => void;

export class Viewer {
  readonly #niivue: Niivue;
  #table: LabelEntry[] = [];
  #hidden = new Set<number>();

  private constructor(niivue: Niivue) {
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
    const viewer = new Viewer(niivue);
    niivue.onLocationChange = (location) => {
      const { values, mm } = location as {
        mm: ArrayLike<number>;
        values: { value: number }[];
      };
      const place = [0, 1, 2].map((i) => mm[i]?.toFixed(0)).join(", ");
      const [image, label] = values;
      const name = label && viewer.#table.find((e) => e.value === label.value)?.name;
      onLocation(`${place} mm  ${image?.value.toFixed(0) ?? ""}  ${name ?? ""}`);
    };
    return viewer;
  }

  /** Shows an image alone. */
  async showImage(file: File): Promise<void> {
    const image = await NVImage.loadFromFile({ file, name: file.name });
    while (this.#niivue.volumes.length > 0) this.#niivue.removeVolumeByIndex(0);
    this.#niivue.addVolume(image);
  }

  /** Lays labels over the image. */
  async showLabels(file: Uint8Array<ArrayBuffer>, table: LabelEntry[], opacity: number) {
    const overlay = await NVImage.loadFromFile({
      file: new File([file], "labels.nii.gz"),
      name: "labels.nii.gz",
      opacity,
    });
    while (this.#niivue.volumes.length > 1) this.#niivue.removeVolumeByIndex(1);
    this.#table = table;
    this.#hidden.clear();
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
    if (this.#niivue.volumes.length > 1) this.#niivue.setOpacity(1, opacity);
  }

  /** Shows or hides one label. */
  setVisible(value: number, visible: boolean): void {
    if (visible) this.#hidden.delete(value);
    else this.#hidden.add(value);
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
}
