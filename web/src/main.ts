/** The page. */

import { Amaes, AmaesError, type AmaesModel, type Backend } from "./amaes.ts";
import { type Card, listed, SAMPLE } from "./models.ts";
import { phantomImage } from "./phantom.ts";
import { traffic } from "./traffic.ts";
import type { LabelStatistics, Segmentation } from "./types.ts";
import { Viewer } from "./viewer.ts";

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found as T;
}

const ui = {
  device: element("device"),
  backend: element<HTMLSelectElement>("backend"),
  view: element("view"),
  canvas: element<HTMLCanvasElement>("canvas"),
  empty: element("empty"),
  location: element("location"),
  imageName: element("image-name"),
  imageFile: element<HTMLInputElement>("image-file"),
  models: element("models"),
  modelFile: element<HTMLInputElement>("model-file"),
  modelNotes: element("model-notes"),
  largest: element<HTMLInputElement>("largest"),
  run: element<HTMLButtonElement>("run"),
  cancel: element<HTMLButtonElement>("cancel"),
  progress: element<HTMLProgressElement>("progress"),
  status: element("status"),
  error: element("error"),
  result: element("result"),
  opacity: element<HTMLInputElement>("opacity"),
  all: element<HTMLInputElement>("all"),
  labels: element("labels"),
  facts: element("facts"),
  network: element("network"),
};

const cards: Card[] = [];
let chosen: Card | undefined;
let images: File[] = [];
let amaes: Amaes | undefined;
let loaded: { card: Card; model: AmaesModel } | undefined;
let running: AbortController | undefined;
let result: Segmentation | undefined;
let viewer: Viewer | undefined;

const IMAGE = /\.(nii|nii\.gz|mgh|mgz|mgh\.gz)$/i;

function showError(error: unknown): void {
  if (error instanceof AmaesError && error.kind === "cancelled") {
    ui.status.textContent = "Cancelled.";
    return;
  }
  const strong = document.createElement("strong");
  const hint = document.createElement("p");
  strong.textContent = error instanceof Error ? error.message : String(error);
  hint.textContent = error instanceof AmaesError ? error.hint : "Reload the page and try again.";
  ui.error.replaceChildren(strong, hint);
  ui.error.dataset["kind"] = error instanceof AmaesError ? error.kind : "unknown";
  ui.error.hidden = false;
  ui.status.textContent = "";
}

function clearError(): void {
  ui.error.hidden = true;
  ui.error.replaceChildren();
}

function refresh(): void {
  ui.run.disabled = !chosen || images.length === 0 || !!running;
  ui.cancel.hidden = !running;
  ui.progress.hidden = !running;
}

/** Draws the cards of the models. */
function drawCards(): void {
  ui.models.replaceChildren(
    ...cards.map((card) => {
      const label = document.createElement("label");
      label.className = "card";
      const radio = document.createElement("input");
      radio.type = "radio";
      radio.name = "model";
      radio.value = card.id;
      radio.checked = card === chosen;
      radio.addEventListener("change", () => choose(card));
      const what = document.createElement("small");
      const size = card.bytes ? `${Math.max(1, Math.round(card.bytes / 1024))} kB` : undefined;
      const facts = [card.description, card.licence, size].filter(Boolean);
      what.textContent = facts.join(" · ");
      const line = document.createElement("div");
      line.append(what);
      label.append(radio, ` ${card.name}`, line);
      return label;
    }),
  );
}

function choose(card: Card): void {
  chosen = card;
  ui.modelNotes.textContent = "";
  drawCards();
  refresh();
}

async function openDevice(): Promise<Amaes> {
  if (amaes) return amaes;
  ui.device.textContent = "Opening the device…";
  const cap = Number(new URLSearchParams(location.search).get("maxBufferBytes"));
  amaes = await Amaes.create({
    backend: ui.backend.value as Backend,
    ...(cap > 0 ? { maxBufferBytes: cap } : {}),
  });
  describeDevice();
  return amaes;
}

function describeDevice(): void {
  const device = amaes?.device;
  if (!device) return;
  const name = device.backend === "cpu" ? "CPU" : "WebGPU";
  const fallback = device.fallback ? ` (${device.fallback})` : "";
  ui.device.textContent = `${name}: ${device.adapter || "graphics card"}${fallback}`;
}

async function openModel(card: Card): Promise<AmaesModel> {
  const engine = await openDevice();
  if (loaded?.card === card) return loaded.model;
  loaded?.model.dispose();
  loaded = undefined;
  ui.status.textContent = `Loading ${card.name}…`;
  const model = await engine.loadModel(card.source(), {
    onProgress: (done) => (ui.status.textContent = `Loading ${card.name}: ${done} bytes`),
  });
  loaded = { card, model };
  ui.modelNotes.textContent = model.info().notes.join(" ");
  return model;
}

async function showImages(files: File[]): Promise<void> {
  clearError();
  images = files;
  result = undefined;
  ui.result.hidden = true;
  ui.status.textContent = "";
  ui.imageName.textContent = files.map((file) => file.name).join(", ");
  refresh();
  const first = files[0];
  if (!first) return;
  ui.empty.hidden = true;
  try {
    await viewer?.showImage(first);
  } catch {
    // The engine reads more, and says what is wrong where it cannot.
    ui.status.textContent = "This image cannot be shown, but may be segmented.";
  }
}

function addWeights(files: File[]): void {
  const named = files.find((file) => !file.name.endsWith(".json")) ?? files[0];
  if (!named) return;
  const card: Card = {
    id: `own-${cards.length}`,
    name: named.webkitRelativePath.split("/").at(-2) ?? named.name,
    description: "Your own weights.",
    bytes: files.reduce((sum, file) => sum + file.size, 0),
    source: () => files,
  };
  cards.unshift(card);
  choose(card);
}

function take(files: File[]): void {
  const volumes = files.filter((file) => IMAGE.test(file.name));
  const others = files.filter((file) => !IMAGE.test(file.name));
  if (volumes.length > 0) void showImages(volumes);
  if (others.length > 0) addWeights(others);
}

async function segment(): Promise<void> {
  if (running || !chosen || images.length === 0) return;
  const abort = new AbortController();
  running = abort;
  clearError();
  ui.progress.value = 0;
  refresh();
  try {
    const model = await openModel(chosen);
    const done = await model.segment(images, {
      signal: abort.signal,
      cleaning: { keep: ui.largest.checked ? "largest" : "all" },
      onProgress: ({ phase, fraction, secondsLeft }) => {
        const left =
          secondsLeft === undefined ? "" : `, about ${Math.ceil(secondsLeft)} s left`;
        const words = { read: "Reading", network: "Segmenting", finish: "Measuring" };
        const share = { read: 0, network: 0.05, finish: 0.95 };
        const length = { read: 0.05, network: 0.9, finish: 0.05 };
        ui.progress.value = share[phase] + length[phase] * fraction;
        ui.status.textContent = `${words[phase]}: ${Math.round(fraction * 100)} %${left}`;
      },
    });
    await showResult(done, model);
  } catch (error) {
    showError(error);
  } finally {
    running = undefined;
    describeDevice();
    refresh();
    ui.network.textContent = traffic();
  }
}

async function showResult(done: Segmentation, model: AmaesModel): Promise<void> {
  result = done;
  const table = model.info().labels;
  await viewer?.showLabels(done.native, table, ui.opacity.valueAsNumber);
  const colours = new Map(table.map((entry) => [entry.value, entry.color]));
  ui.labels.replaceChildren(...done.statistics.map((label) => row(label, colours)));
  ui.all.checked = true;
  ui.result.hidden = false;
  const { timings, memory } = done;
  const seconds = timings.read + timings.prepare + timings.network + timings.finish;
  const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const gpu = memory.gpu > 0 ? `, GPU ${mib(memory.gpu)} (largest buffer ${mib(memory.largestBuffer)})` : "";
  ui.status.textContent = `Done in ${seconds.toFixed(1)} s.`;
  ui.facts.textContent = `Network ${timings.network.toFixed(1)} s of ${seconds.toFixed(1)} s. Memory ${mib(memory.wasm)}${gpu}.`;
}

function row(label: LabelStatistics, colours: Map<number, [number, number, number]>) {
  const line = document.createElement("tr");
  const name = document.createElement("td");
  const choice = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.dataset["value"] = String(label.value);
  box.addEventListener("change", () => viewer?.setVisible(label.value, box.checked));
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.background = `rgb(${(colours.get(label.value) ?? [128, 128, 128]).join(" ")})`;
  choice.append(box, swatch, label.name);
  name.append(choice);
  const volume = document.createElement("td");
  volume.textContent = label.volume_ml.toFixed(2);
  const mean = document.createElement("td");
  mean.textContent = label.mean?.toFixed(1) ?? "";
  line.append(name, volume, mean);
  const place = label.centroid_mm;
  if (place) {
    line.title = "Double-click to go there";
    line.addEventListener("dblclick", () => viewer?.goTo(place));
  }
  return line;
}

function csv(labels: LabelStatistics[]): string {
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const rows = labels.map(({ value, name, voxels, volume_ml, mean, std, centroid_mm }) =>
    [value, quoted(name), voxels, volume_ml, mean ?? "", std ?? "", ...(centroid_mm ?? ["", "", ""])].join(","),
  );
  return ["value,name,voxels,volume_ml,mean,std,x_mm,y_mm,z_mm", ...rows, ""].join("\n");
}

function save(content: BlobPart, type: string, suffix: string): void {
  const base = images[0]?.name.replace(IMAGE, "") ?? "image";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = `${base}_${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function listen(): void {
  const on = (id: string, act: () => void) => element(id).addEventListener("click", act);
  on("open", () => ui.imageFile.click());
  on("open-another", () => ui.imageFile.click());
  on("open-model", () => ui.modelFile.click());
  for (const id of ["sample", "sample-again"]) {
    on(id, () => {
      if (running) return;
      choose(SAMPLE);
      void showImages([phantomImage()]).then(segment);
    });
  }
  on("run", () => void segment());
  on("cancel", () => {
    running?.abort();
    ui.status.textContent = "Stopping…";
  });
  on("save-native", () => result && save(result.native, "application/gzip", "labels.nii.gz"));
  on("save-prepared", () => result && save(result.prepared, "application/gzip", "conformed.nii.gz"));
  on("save-csv", () => result && save(csv(result.statistics), "text/csv", "labels.csv"));
  on("save-picture", () => void viewer?.savePicture("amaes.png"));
  for (const [input, act] of [
    [ui.imageFile, (files: File[]) => void showImages(files)],
    [ui.modelFile, addWeights],
  ] as const) {
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      input.value = "";
      if (files.length > 0) act(files);
    });
  }
  ui.opacity.addEventListener("input", () => viewer?.setOpacity(ui.opacity.valueAsNumber));
  ui.all.addEventListener("change", () => {
    for (const box of ui.labels.querySelectorAll<HTMLInputElement>("input")) {
      box.checked = ui.all.checked;
      viewer?.setVisible(Number(box.dataset["value"]), ui.all.checked);
    }
  });
  ui.backend.addEventListener("change", () => {
    amaes?.dispose();
    amaes = undefined;
    loaded = undefined;
    clearError();
    openDevice().catch(showError);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    ui.view.classList.add("over");
  });
  document.addEventListener("dragleave", () => ui.view.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    ui.view.classList.remove("over");
    take([...(event.dataTransfer?.files ?? [])]);
  });
}

async function start(): Promise<void> {
  listen();
  const wanted = new URLSearchParams(location.search).get("backend");
  if (wanted && ["auto", "webgpu", "cpu"].includes(wanted)) ui.backend.value = wanted;
  cards.push(...(await listed()), SAMPLE);
  choose(cards[0] ?? SAMPLE);
  try {
    viewer = await Viewer.create(ui.canvas, (text) => (ui.location.textContent = text));
  } catch (error) {
    ui.location.textContent = `Images cannot be shown: ${String(error)}`;
  }
  ui.network.textContent = traffic();
  await openDevice().catch(showError);
  document.documentElement.dataset["ready"] = "true";
}

if ("serviceWorker" in navigator && import.meta.env.PROD) {
  navigator.serviceWorker.register("./sw.js").catch(() => undefined);
}
void start();
