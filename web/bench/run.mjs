// Times networks in one browser: amaes, onnxruntime-web and TensorFlow.js with the same weights.
//
// node bench/run.mjs --peers FOLDER [--json FILE] [--rounds N] [--no-gpu]
// FOLDER has `node_modules` with what bench/package.json names.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { extname, join } from "node:path";
import { parseArgs } from "node:util";
import { launch, program, serve, volume, web, writeSafetensors } from "../test/harness.mjs";
import { meshnet, unet } from "./networks.mjs";

const { values: options } = parseArgs({
  options: {
    peers: { type: "string" },
    json: { type: "string" },
    rounds: { type: "string", default: "3" },
    "no-gpu": { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
const TYPES = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };
/** Of the same origin and cross-origin isolated, so that the others have their threads. */
const HEADERS = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
};

const folder = mkdtempSync(join(tmpdir(), "amaes-bench-"));
const server = await serve();
let browser;
let page;

/** Answers for the files of the benchmark. */
function answer(route) {
  const path = decodeURIComponent(new URL(route.request().url()).pathname.split("/bench/")[1]);
  if (path === "page") {
    const body = "<!doctype html><title>bench</title><script src=\"tfjs/tf.min.js\"></script><script src=\"tfjs-wasm/tf-backend-wasm.min.js\"></script>";
    return route.fulfill({ contentType: "text/html", headers: HEADERS, body });
  }
  const peers = join(options.peers, "node_modules");
  const places = {
    tfjs: join(peers, "@tensorflow/tfjs/dist"),
    "tfjs-wasm": join(peers, "@tensorflow/tfjs-backend-wasm/dist"),
    "tfjs-wasm-out": join(peers, "@tensorflow/tfjs-backend-wasm/wasm-out"),
    ort: join(peers, "onnxruntime-web/dist"),
    pkg: join(web, "pkg"),
    data: folder,
  };
  const [first, ...rest] = path.split("/");
  const file = join(places[first], ...rest);
  const headers = { ...HEADERS, "content-type": TYPES[extname(file)] ?? "application/octet-stream" };
  return route.fulfill({ headers, body: readFileSync(file) });
}

/** A fresh browser with a page of the engines: one that computes cannot be stopped otherwise. */
async function openPage() {
  await browser?.close();
  browser = await launch();
  const context = await browser.newContext({ serviceWorkers: "block" });
  await context.route("**/bench/**", answer);
  page = await context.newPage();
  await page.goto(`${server.url}/bench/page`);
  await page.addScriptTag({ path: new URL("./page.js", import.meta.url).pathname });
  if (!(await page.evaluate(() => crossOriginIsolated))) throw new Error("the page is not isolated");
}
await openPage();

/** Seconds that an engine is given. */
const PATIENCE = 300;

/** What `run` gives, or an error once it has taken too long. */
function patiently(run) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`more than ${PATIENCE} s`)), PATIENCE * 1000);
  });
  return Promise.race([run, late]).finally(() => clearTimeout(timer));
}

/** Writes a network's files. */
function write(name, { weights, spec, onnx, shape }) {
  writeFileSync(join(folder, `${name}.safetensors`), writeSafetensors(weights));
  writeFileSync(join(folder, `${name}.onnx`), onnx);
  if (!spec) return;
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(spec));
  // Without preprocessing, to time the tiles as workers share them.
  const plan = JSON.stringify({ steps: [{ step: "normalize", method: "min_max" }] });
  const config = join(folder, `${name}.json`);
  writeFileSync(join(folder, "plan.json"), plan);
  const args = ["import", join(folder, `${name}.safetensors`), "--config", config, "--plan", join(folder, "plan.json")];
  execFileSync(program, [...args, "-o", join(folder, `${name}.amaes`)], { stdio: "pipe" });
  const edge = shape[2];
  writeFileSync(join(folder, `${name}.nii`), volume([edge, edge, edge], 1, (x, y, z) => (x * 7 + y * 5 + z * z * 3) % 251));
}

const rows = [];

/** Times one engine; its output, or null where it refuses. */
async function time(network, name, engine, rounds, settings = {}) {
  const { shape, spec } = networks[network];
  try {
    const result = await patiently(
      page.evaluate(
        ([engine, options]) => globalThis.engines[engine](options),
        [engine, { name: network, shape, mesh: !!spec, rounds, ...settings }],
      ),
    );
    const sorted = result.seconds.sort((a, b) => a - b);
    rows.push({ network, engine: name, seconds: sorted[sorted.length >> 1], best: sorted[0] });
    console.error(`${network} ${name}: ${sorted.map((s) => s.toFixed(2)).join(" ")} s`);
    return result.output;
  } catch (error) {
    const why = String(error.message ?? error).split("\n")[0].replace("page.evaluate: ", "").slice(0, 120);
    rows.push({ network, engine: name, refused: why });
    console.error(`${network} ${name}: ${why}`);
    await openPage();
    return null;
  }
}

/** The largest difference of outputs, relative to the largest value. */
function check(network, name, ours, theirs) {
  if (!ours || !theirs) return;
  let [worst, largest] = [0, 0];
  ours.forEach((v, i) => {
    worst = Math.max(worst, Math.abs(v - theirs[i]));
    largest = Math.max(largest, Math.abs(v));
  });
  rows.find((row) => row.network === network && row.engine === name).difference = worst / largest;
  if (ours.length !== theirs.length || worst > 1e-3 * largest) {
    throw new Error(`${network}: ${name} computes something else (${worst / largest})`);
  }
}

const networks = {
  "MeshNet 128^3": meshnet(128),
  "U-Net (f=16) 96^3": unet(96),
  "MeshNet 48^3, GPU": meshnet(48),
  "U-Net (f=16) 32^3, GPU": unet(32),
};
try {
  for (const [name, network] of Object.entries(networks)) {
    write(name, network);
    const gpu = name.endsWith("GPU");
    if (gpu && options["no-gpu"]) continue;
    if (gpu) {
      const ours = await time(name, "amaes, WebGPU", "amaes", 1, { backend: "webgpu" });
      check(name, "onnxruntime-web, WebGPU", ours, await time(name, "onnxruntime-web, WebGPU", "ort", 1, { provider: "webgpu" }));
      continue;
    }
    const ours = await time(name, "amaes, CPU, 1 thread", "amaes", rounds, { backend: "cpu" });
    const wasmUrl = { cpu: "/bench/pkg/cpu/amaes_wasm_bg.wasm" };
    const plain = await time(name, "amaes, CPU, 1 thread, no relaxed SIMD", "amaes", rounds, { backend: "cpu", wasmUrl });
    check(name, "amaes, CPU, 1 thread, no relaxed SIMD", ours, plain);
    await time(name, "amaes, CPU, 2 workers", "shared", rounds);
    check(name, "onnxruntime-web, wasm", ours, await time(name, "onnxruntime-web, wasm", "ort", rounds, { provider: "wasm" }));
    check(name, "TensorFlow.js, wasm", ours, await time(name, "TensorFlow.js, wasm", "tfjs", rounds));
  }
} finally {
  await browser.close();
  server.stop();
  rmSync(folder, { recursive: true, force: true });
}

const table = [`| Network | Engine | Seconds | Times the best of the others |`, `|---|---|---|---|`];
for (const row of rows) {
  const others = rows.filter((r) => r.network === row.network && r.seconds && !r.engine.startsWith("amaes"));
  const best = Math.min(...others.map((r) => r.seconds));
  if (row.seconds && row.engine.startsWith("amaes") && others.length > 0) row.speedup = best / row.seconds;
  const speed = row.speedup ? row.speedup.toFixed(2) : "";
  table.push(`| ${row.network} | ${row.engine} | ${row.seconds?.toFixed(2) ?? row.refused} | ${speed} |`);
}
console.log(table.join("\n"));
if (options.json) {
  const report = { processor: cpus()[0]?.model, threads: cpus().length, rounds, rows };
  writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
}
