/** The results of the page: their labels, volumes, files, surfaces, comparison and editing. */

import { type Amaes, statisticsCsv } from "./amaes.ts";
import { element, hexColour, make, onClick, option, rgbColour, save } from "./dom.ts";
import type { LabelEntry, LabelStatistics } from "./types.ts";
import type { Viewer } from "./viewer.ts";

/** A label map of the image that is open. */
export interface Result {
  name: string;
  native: Uint8Array<ArrayBuffer>;
  /** On the grid that the network saw; what was edited has none. */
  prepared?: Uint8Array<ArrayBuffer>;
  statistics: LabelStatistics[];
  table: LabelEntry[];
  facts: string;
}

/** What the panel needs of the page. */
export interface Host {
  viewer: () => Viewer | undefined;
  engine: () => Promise<Amaes>;
  /** The image that is open. */
  image: () => File | undefined;
  /** Beginning of the names of saved files. */
  name: () => string;
  fail: (error: unknown) => void;
  say: (text: string) => void;
}

/** The entry of the list that asks for a file. */
const FROM_FILE = "file";

export class Results {
  #all: Result[] = [];
  #shown: Result | undefined;
  #against: Result | undefined;
  #hidden = new Set<number>();
  #editing = false;

  readonly #ui = {
    panel: element("result"),
    shown: element<HTMLSelectElement>("shown"),
    against: element<HTMLSelectElement>("against"),
    swap: element<HTMLButtonElement>("swap"),
    file: element<HTMLInputElement>("result-file"),
    opacity: element<HTMLInputElement>("opacity"),
    all: element<HTMLInputElement>("all"),
    head: element("label-head"),
    labels: element("labels"),
    facts: element("facts"),
    prepared: element<HTMLButtonElement>("save-prepared"),
    edit: element<HTMLButtonElement>("edit"),
    pen: element("pen"),
    penLabel: element<HTMLSelectElement>("pen-label"),
    penWidth: element<HTMLInputElement>("pen-width"),
    penFilled: element<HTMLInputElement>("pen-filled"),
    surfaceLabel: element<HTMLSelectElement>("surface-label"),
    surfaceFormat: element<HTMLSelectElement>("surface-format"),
    surfaceSmooth: element<HTMLInputElement>("surface-smooth"),
  };

  constructor(private readonly host: Host) {
    const ui = this.#ui;
    const guard = (act: () => unknown) => async () => {
      try {
        await act();
      } catch (error) {
        host.fail(error);
      }
    };
    const shown = (act: (result: Result) => unknown) =>
      guard(() => (this.#shown ? act(this.#shown) : undefined));
    onClick("save-native", shown((r) => this.#save(r.native, "labels")));
    onClick("save-prepared", shown((r) => r.prepared && this.#save(r.prepared, "conformed")));
    onClick(
      "save-csv",
      shown((r) => save(statisticsCsv(r.statistics), "text/csv", `${host.name()}_labels.csv`)),
    );
    onClick("save-picture", guard(() => host.viewer()?.savePicture(`${host.name()}.png`)));
    onClick("save-surface", shown((r) => this.#saveSurface(r)));
    onClick("edit", guard(() => (this.#editing ? this.#stopEditing() : this.#edit())));
    onClick("pen-undo", () => host.viewer()?.undo());
    onClick("pen-apply", shown((r) => this.#apply(r)));
    onClick("pen-discard", () => this.#stopEditing());
    onClick("swap", guard(() => this.#swap()));
    ui.opacity.addEventListener("input", () => host.viewer()?.setOpacity(ui.opacity.valueAsNumber));
    ui.all.addEventListener("change", () => this.#showAll(ui.all.checked));
    ui.shown.addEventListener("change", guard(() => this.#show(this.#all[Number(ui.shown.value)])));
    ui.against.addEventListener("change", guard(() => this.#chooseAgainst()));
    ui.file.addEventListener("change", guard(() => this.#open()));
    for (const input of [ui.penLabel, ui.penWidth, ui.penFilled]) {
      input.addEventListener("change", () => this.#setPen());
    }
  }

  /** Forgets all results: another image was opened. */
  clear(): void {
    this.#stopEditing();
    this.#all = [];
    this.#shown = this.#against = undefined;
    this.#hidden.clear();
    this.#ui.panel.hidden = true;
  }

  /** Adds a result and shows it. */
  async add(result: Result): Promise<void> {
    this.#all.push(result);
    this.#ui.panel.hidden = false;
    await this.#show(result);
  }

  #save(file: Uint8Array<ArrayBuffer>, what: string): void {
    save(file, "application/gzip", `${this.host.name()}_${what}.nii.gz`);
  }

  async #show(result: Result | undefined): Promise<void> {
    if (!result) return;
    this.#stopEditing();
    this.#shown = result;
    if (this.#against === result) this.#against = undefined;
    await this.host.viewer()?.showLabels(result.native, result.table, this.#hidden);
    this.#drawLists();
    await this.#drawTable();
  }

  /** The lists of results and of labels. */
  #drawLists(): void {
    const ui = this.#ui;
    const [all, shown] = [this.#all, this.#shown];
    const numbered = all.map((result, i) => option(String(i), `${i + 1}. ${result.name}`));
    ui.shown.replaceChildren(...numbered);
    ui.shown.value = String(all.indexOf(shown as Result));
    const others = all.flatMap((result, i) =>
      result === shown ? [] : [option(String(i), `${i + 1}. ${result.name}`)],
    );
    ui.against.replaceChildren(option("", "nothing"), ...others, option(FROM_FILE, "a file…"));
    ui.against.value = this.#against ? String(all.indexOf(this.#against)) : "";
    ui.swap.hidden = !this.#against;
    ui.prepared.hidden = !shown?.prepared;
    ui.facts.textContent = shown?.facts ?? "";
    const present = (shown?.statistics ?? []).filter((label) => label.voxels > 0);
    const named = () => present.map((label) => option(String(label.value), label.name));
    const chosen = ui.surfaceLabel.value;
    ui.surfaceLabel.replaceChildren(...named());
    if (present.some((label) => String(label.value) === chosen)) ui.surfaceLabel.value = chosen;
    const entries = (shown?.table ?? []).map((e) => option(String(e.value), e.name));
    ui.penLabel.replaceChildren(...entries);
    ui.penLabel.selectedIndex = Math.min(1, entries.length - 1);
  }

  async #drawTable(): Promise<void> {
    const [ui, shown, against] = [this.#ui, this.#shown, this.#against];
    if (!shown) return;
    let dice: Map<number, number> | undefined;
    if (against) {
      try {
        const engine = await this.host.engine();
        const overlaps = await engine.compare(shown.native, against.native);
        dice = new Map(overlaps.map((overlap) => [overlap.value, overlap.dice]));
      } catch (error) {
        this.#against = undefined;
        this.#drawLists();
        this.host.fail(error);
      }
    }
    if (this.#shown !== shown) return;
    const columns = ["mL", "Mean", ...(dice ? ["Dice"] : [])];
    while (ui.head.children.length > 1) ui.head.lastChild?.remove();
    ui.head.append(...columns.map((text) => make("th", { scope: "col", textContent: text })));
    ui.labels.replaceChildren(...shown.statistics.map((label) => this.#row(label, shown, dice)));
    ui.all.checked = this.#hidden.size === 0;
  }

  #row(label: LabelStatistics, shown: Result, dice: Map<number, number> | undefined) {
    const { value, name } = label;
    const box = make("input", { type: "checkbox", checked: !this.#hidden.has(value) });
    box.dataset["value"] = String(value);
    box.addEventListener("change", () => {
      if (box.checked) this.#hidden.delete(value);
      else this.#hidden.add(value);
      this.#ui.all.checked = this.#hidden.size === 0;
      this.#recolour(shown);
    });
    const entry = shown.table.find((e) => e.value === value);
    const colour = make("input", { type: "color", className: "swatch" });
    colour.value = hexColour(entry?.color ?? [128, 128, 128]);
    colour.ariaLabel = `Colour of ${name}`;
    colour.addEventListener("input", () => {
      if (!entry) return;
      entry.color = rgbColour(colour.value);
      this.#recolour(shown);
    });
    const choice = make("label", {}, box, ` ${name}`);
    const place = label.centroid_mm;
    const go = make("button", { type: "button", className: "go", textContent: "Go" });
    go.ariaLabel = `Go to ${name}`;
    go.disabled = !place;
    go.addEventListener("click", () => place && this.host.viewer()?.goTo(place));
    const texts = [label.volume_ml.toFixed(2), label.mean?.toFixed(1) ?? ""];
    if (dice) texts.push(dice.get(value)?.toFixed(4) ?? "");
    const cells = texts.map((text) => make("td", { textContent: text }));
    return make("tr", {}, make("td", {}, colour, choice, go), ...cells);
  }

  #recolour(shown: Result): void {
    this.host.viewer()?.setLabels(shown.table, this.#hidden);
  }

  #showAll(visible: boolean): void {
    const shown = this.#shown;
    if (!shown) return;
    this.#hidden.clear();
    if (!visible) for (const label of shown.statistics) this.#hidden.add(label.value);
    for (const box of this.#ui.labels.querySelectorAll<HTMLInputElement>("input[type=checkbox]")) {
      box.checked = visible;
    }
    this.#recolour(shown);
  }

  async #chooseAgainst(): Promise<void> {
    const { value } = this.#ui.against;
    if (value === FROM_FILE) {
      this.#ui.file.click();
      return;
    }
    this.#against = value === "" ? undefined : this.#all[Number(value)];
    this.#drawLists();
    await this.#drawTable();
  }

  /** Takes a label map from a file to compare with. */
  async #open(): Promise<void> {
    const file = this.#ui.file.files?.[0];
    this.#ui.file.value = "";
    const shown = this.#shown;
    if (!file || !shown) return;
    const native = new Uint8Array(await file.arrayBuffer());
    const engine = await this.host.engine();
    const statistics = await engine.measure(native, shown.table, this.host.image());
    const facts = "Opened from a file.";
    const table = structuredClone(shown.table);
    const result: Result = { name: file.name, native, statistics, table, facts };
    this.#all.push(result);
    this.#against = result;
    this.#drawLists();
    await this.#drawTable();
  }

  /** Shows the other of the two that are compared. */
  async #swap(): Promise<void> {
    const [shown, against] = [this.#shown, this.#against];
    if (!shown || !against) return;
    this.#against = shown;
    await this.#show(against);
  }

  async #saveSurface(result: Result): Promise<void> {
    const { surfaceLabel, surfaceFormat, surfaceSmooth } = this.#ui;
    const value = Number(surfaceLabel.value);
    const format = surfaceFormat.value === "ply" ? "ply" : "stl";
    const smoothing = surfaceSmooth.checked ? 10 : 0;
    const engine = await this.host.engine();
    const file = await engine.surface(result.native, value, { format, smoothing });
    const name = surfaceLabel.selectedOptions[0]?.text.replace(/[^\w-]+/g, "-") ?? "label";
    save(file, format === "ply" ? "model/ply" : "model/stl", `${this.host.name()}_${name}.${format}`);
  }

  #edit(): void {
    const viewer = this.host.viewer();
    if (!viewer?.editable) throw new Error("Labels can be edited where they are shown, up to 255.");
    viewer.openPen();
    this.#editing = true;
    this.#setPen();
    this.#drawEditing();
  }

  #drawEditing(): void {
    this.#ui.pen.hidden = !this.#editing;
    this.#ui.edit.ariaPressed = String(this.#editing);
  }

  #setPen(): void {
    if (!this.#editing) return;
    const { penLabel, penWidth, penFilled } = this.#ui;
    const width = Math.max(1, penWidth.valueAsNumber || 1);
    this.host.viewer()?.setPen(Number(penLabel.value), width, penFilled.checked);
  }

  #stopEditing(): void {
    if (!this.#editing) return;
    this.#editing = false;
    this.host.viewer()?.closePen();
    this.#drawEditing();
  }

  /** Makes a result of what was drawn, and measures it. */
  async #apply(result: Result): Promise<void> {
    const viewer = this.host.viewer();
    if (!viewer || !this.#editing) return;
    const native = await viewer.drawn(result.native);
    this.#stopEditing();
    const engine = await this.host.engine();
    const statistics = await engine.measure(native, result.table, this.host.image());
    const name = result.name.replace(/(, edited)?$/, ", edited");
    const table = structuredClone(result.table);
    await this.add({ name, native, statistics, table, facts: "Edited by hand and measured again." });
    this.host.say("The edited labels were measured.");
  }
}
