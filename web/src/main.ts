/** The page. */

import { Amaes, AmaesError, type AmaesModel, type Backend } from "./amaes.ts";
import { element, make, onClick } from "./dom.ts";
import { dropped, sorted, VOLUME } from "./files.ts";
import { type Card, listed, PHANTOM } from "./models.ts";
import { phantomImage } from "./phantom.ts";
import { Results } from "./results.ts";
import { watchTraffic } from "./traffic.ts";
import type { Keep, Segmentation } from "./types.ts";
import { type Layout, Viewer } from "./viewer.ts";

const ui = {
  device: element("device"),
  backend: element<HTMLSelectElement>("backend"),
  layout: element<HTMLSelectElement>("layout"),
  view: element("view"),
  canvas: element<HTMLCanvasElement>("canvas"),
  empty: element("empty"),
  location: element("location"),
  images: element("images"),
  imageFile: element<HTMLInputElement>("image-file"),
  folder: element<HTMLInputElement>("folder"),
  models: element("models"),
  modelFile: element<HTMLInputElement>("model-file"),
  modelNotes: element("model-notes"),
  keep: element<HTMLSelectElement>("keep"),
  run: element<HTMLButtonElement>("run"),
  cancel: element<HTMLButtonElement>("cancel"),
  progress: element<HTMLProgressElement>("progress"),
  status: element("status"),
  error: element("error"),
};

const cards: Card[] = [];
let chosen: Card | undefined;
/** The channels of the image, in the model's order. */
let images: File[] = [];
let amaes: Amaes | undefined;
let loaded: { card: Card; model: AmaesModel } | undefined;
let running: AbortController | undefined;
let viewer: Viewer | undefined;

const results = new Results({
  viewer: () => viewer,
  engine: openDevice,
  image: () => images[0],
  name: () => images[0]?.name.replace(VOLUME, "") ?? "image",
  fail: showError,
  say: (text) => (ui.status.textContent = text),
});

function showError(error: unknown): void {
  if (error instanceof AmaesError && error.kind === "cancelled") {
    ui.status.textContent = "Cancelled.";
    return;
  }
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof AmaesError ? error.hint : "Try again, or reload the page.";
  ui.error.replaceChildren(make("strong", { textContent: message }), make("p", { textContent: hint }));
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
  const drawn = cards.map((card) => {
    const radio = make("input", { type: "radio", name: "model", value: card.id });
    radio.checked = card === chosen;
    radio.addEventListener("change", () => choose(card));
    const size = card.bytes ? `${Math.max(1, Math.round(card.bytes / 1024))} kB` : undefined;
    const facts = [card.description, card.licence, size].filter(Boolean).join(" · ");
    const what = make("div", {}, make("small", { textContent: facts }));
    return make("label", { className: "card" }, radio, ` ${card.name}`, what);
  });
  ui.models.replaceChildren(...drawn);
}

function choose(card: Card): void {
  chosen = card;
  ui.keep.value = card.keep ?? "all";
  ui.modelNotes.textContent = "";
  for (const radio of ui.models.querySelectorAll<HTMLInputElement>("input")) {
    radio.checked = radio.value === card.id;
  }
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

async function openModel(card: Card, signal: AbortSignal): Promise<AmaesModel> {
  const engine = await openDevice();
  if (loaded?.card === card) return loaded.model;
  loaded?.model.dispose();
  loaded = undefined;
  ui.status.textContent = `Loading ${card.name}…`;
  const model = await engine.loadModel(card.source(), {
    signal,
    ...(card.sha256 ? { sha256: card.sha256 } : {}),
    onProgress: (done) => {
      ui.status.textContent = `Loading ${card.name}: ${Math.ceil(done / 1024)} kB`;
    },
  });
  loaded = { card, model };
  ui.modelNotes.textContent = model.info().notes.join(" ");
  return model;
}

/** The list of channels, whose order can be changed. */
function drawImages(): void {
  const rows = images.map((file, i) => {
    const row = make("li", {}, file.name);
    if (i > 0) {
      const up = make("button", { type: "button", className: "go", textContent: "↑" });
      up.ariaLabel = `Move ${file.name} up`;
      up.addEventListener("click", () => {
        const order = [...images];
        [order[i - 1], order[i]] = [file, images[i - 1] as File];
        void showImages(order);
      });
      row.append(up);
    }
    return row;
  });
  ui.images.replaceChildren(...(rows.length > 0 ? rows : [make("li", {}, "None yet")]));
}

async function showImages(files: File[]): Promise<void> {
  if (running) return;
  clearError();
  images = files;
  results.clear();
  ui.status.textContent = "";
  drawImages();
  refresh();
  const first = files[0];
  if (!first) return;
  ui.empty.hidden = true;
  try {
    await viewer?.showImage(first);
  } catch {
    // The engine reads more, and says what is wrong where it cannot.
    viewer?.clear();
    ui.status.textContent = "This image cannot be shown, but may be segmented.";
  }
}

/** Adds a card for dropped weights and chooses it. */
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
  drawCards();
  choose(card);
}

/** Takes files of any kind. */
async function take(files: readonly File[]): Promise<void> {
  if (running || files.length === 0) return;
  const { volumes, weights, dicom } = await sorted(files);
  if (dicom.length > 0) {
    clearError();
    ui.status.textContent = `Converting ${dicom.length} DICOM files…`;
    const { converted } = await import("./dicom.ts");
    const series = await converted(dicom);
    // One series is the image; the others would be channels of another place.
    volumes.push(...series.slice(0, 1));
  }
  if (volumes.length > 0) await showImages(volumes);
  if (weights.length > 0) addWeights(weights);
}

/** Segments the image that comes with the first model that has one, else the phantom. */
async function trySample(): Promise<void> {
  if (running) return;
  clearError();
  const card = cards.find(({ sample }) => sample) ?? PHANTOM;
  choose(card);
  try {
    await showImages([card.sample ? await fetchFile(card.sample) : phantomImage()]);
    await segment();
  } catch (error) {
    showError(error);
  }
}

/** A file of the page's own origin. */
async function fetchFile(url: URL): Promise<File> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${response.statusText}`);
  return new File([await response.blob()], url.pathname.split("/").at(-1) ?? "image");
}

async function segment(): Promise<void> {
  if (running || !chosen || images.length === 0) return;
  const abort = new AbortController();
  running = abort;
  clearError();
  ui.progress.value = 0;
  refresh();
  try {
    const card = chosen;
    const model = await openModel(card, abort.signal);
    const done = await model.segment(images, {
      signal: abort.signal,
      cleaning: { keep: ui.keep.value as Keep },
      onProgress: ({ phase, fraction, secondsLeft }) => {
        if (abort.signal.aborted) return;
        const left =
          secondsLeft === undefined ? "" : `, about ${Math.ceil(secondsLeft)} s left`;
        const words = { read: "Reading", network: "Segmenting", finish: "Measuring" };
        const share = { read: 0, network: 0.05, finish: 0.95 };
        const length = { read: 0.05, network: 0.9, finish: 0.05 };
        ui.progress.value = share[phase] + length[phase] * fraction;
        ui.status.textContent = `${words[phase]}: ${Math.round(fraction * 100)} %${left}`;
      },
    });
    const { facts, seconds } = describe(done);
    const { native, prepared, statistics } = done;
    const table = structuredClone(model.info().labels);
    await results.add({ name: card.name, native, prepared, statistics, table, facts });
    ui.status.textContent = `Done in ${seconds.toFixed(1)} s.`;
  } catch (error) {
    showError(error);
  } finally {
    running = undefined;
    describeDevice();
    refresh();
  }
}

/** What a segmentation took, in words. */
function describe({ timings, memory }: Segmentation): { facts: string; seconds: number } {
  const seconds = timings.read + timings.prepare + timings.network + timings.finish;
  const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const gpu =
    memory.gpu > 0 ? `, GPU ${mib(memory.gpu)} (largest buffer ${mib(memory.largestBuffer)})` : "";
  const facts = `Network ${timings.network.toFixed(1)} s of ${seconds.toFixed(1)} s. Memory ${mib(memory.wasm)}${gpu}.`;
  return { facts, seconds };
}

function listen(): void {
  onClick("open", () => ui.imageFile.click());
  onClick("open-another", () => ui.imageFile.click());
  onClick("open-folder", () => ui.folder.click());
  onClick("open-model", () => ui.modelFile.click());
  for (const id of ["sample", "sample-again"]) {
    onClick(id, () => void trySample());
  }
  onClick("run", () => void segment());
  onClick("cancel", () => {
    running?.abort();
    ui.status.textContent = "Stopping…";
  });
  for (const [input, act] of [
    [ui.imageFile, showImages],
    [ui.folder, take],
    [ui.modelFile, addWeights],
  ] as const) {
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      input.value = "";
      if (files.length > 0) Promise.resolve(act(files)).catch(showError);
    });
  }
  ui.layout.addEventListener("change", () => viewer?.setLayout(ui.layout.value as Layout));
  ui.backend.addEventListener("change", () => {
    running?.abort();
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
    if (!event.dataTransfer) return;
    dropped(event.dataTransfer).then(take).catch(showError);
  });
}

async function start(): Promise<void> {
  listen();
  watchTraffic();
  const wanted = new URLSearchParams(location.search).get("backend");
  if (wanted && ["auto", "webgpu", "cpu"].includes(wanted)) ui.backend.value = wanted;
  cards.push(...(await listed()), PHANTOM);
  drawCards();
  drawImages();
  choose(cards[0] ?? PHANTOM);
  try {
    viewer = await Viewer.create(ui.canvas, (text) => (ui.location.textContent = text));
  } catch (error) {
    ui.location.textContent = `Images cannot be shown: ${String(error)}`;
  }
  await openDevice().catch(showError);
  document.documentElement.dataset["ready"] = "true";
}

if ("serviceWorker" in navigator && import.meta.env.PROD) {
  navigator.serviceWorker.register("./sw.js").catch(() => undefined);
}
void start();
