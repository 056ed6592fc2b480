// What the tests share: the server, the browser, and files of medical images.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test as nodeTest } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { chromium } from "playwright-core";

export const web = join(dirname(fileURLToPath(import.meta.url)), "..");
/** Published images, weights and results, which do not belong to the project. */
export const data = process.env.AMAES_DATA ?? join(web, "../../shared");
export const program = process.env.AMAES_PROGRAM ?? join(web, "../target/release/amaes");

const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const browserPath = process.env.AMAES_BROWSER ?? BROWSERS.find(existsSync);

/** Milliseconds that a test may take: one that waits for what never comes must not hold up the rest. */
const LIMIT = 600_000;

/** A test as Node's, with a limit. */
export function test(name, ...rest) {
  const run = rest.pop();
  return nodeTest(name, { timeout: LIMIT, ...rest[0] }, run);
}

/** The server of the page, or of another folder, on a free port. */
export async function serve(folder = join(web, "dist")) {
  const models = join(data, "weights/brainchop");
  const more = existsSync(models) ? ["--models", models] : [];
  const args = ["serve", "--page", folder, "--port", "0", ...more];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`amaes serve ended with ${code}`)));
    child.stdout.on("data", (text) => {
      const found = /http:\/\/\S+/.exec(text);
      if (found) resolve(found[0]);
    });
  });
  return { url, stop: () => child.kill() };
}

/** Chromium with its software adapter for WebGPU. */
export function launch() {
  return chromium.launch({
    executablePath: browserPath,
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--enable-unsafe-webgpu",
      "--use-webgpu-adapter=swiftshader",
      "--enable-unsafe-swiftshader",
    ],
  });
}

/** The page without the models that come with it: its sample is then the phantom, which is quick. */
export function bare() {
  const folder = mkdtempSync(join(tmpdir(), "amaes-page-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const models = join(web, "dist/models");
  cpSync(join(web, "dist"), folder, { recursive: true, filter: (path) => path !== models });
  return folder;
}

/** The page's server, or that of another folder, and a browser, for the tests of a file. */
export async function started(folder) {
  const server = await serve(folder);
  let browser;
  after(async () => {
    await browser?.close();
    server.stop();
  });
  browser = await launch();
  return { server, browser };
}

/** A page, and every request and message of it. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  const page = await context.newPage();
  const requests = [];
  const errors = [];
  context.on("request", (request) => requests.push(request));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  await page.goto(url);
  await page.waitForSelector("html[data-ready]", { timeout: 60_000 });
  return { context, page, requests, errors };
}

/** A page without anything, to use the library in; `/data/NAME` are files that `file(NAME)` finds. */
export async function blank(browser, url, file = () => undefined) {
  const context = await browser.newContext({ serviceWorkers: "block" });
  await context.route("**/blank", (route) =>
    route.fulfill({ contentType: "text/html", body: "<!doctype html><title>blank</title>" }),
  );
  await context.route("**/data/**", (route) => {
    const name = decodeURIComponent(new URL(route.request().url()).pathname.split("/data/")[1]);
    const found = file(name);
    if (found === undefined) return route.fulfill({ status: 404, body: "none" });
    return route.fulfill(typeof found === "string" ? { path: found } : { body: Buffer.from(found) });
  });
  const page = await context.newPage();
  await page.goto(`${url}/blank`);
  // What every test of the library needs.
  await page.evaluate(async () => {
    const { Amaes } = await import("/amaes.js");
    globalThis.Amaes = Amaes;
    globalThis.file = async (name, as = name) => {
      const response = await fetch(`/data/${encodeURIComponent(name)}`);
      if (!response.ok) throw new Error(`${name}: ${response.status}`);
      return new File([await response.arrayBuffer()], as.split("/").at(-1));
    };
    /** What a promise is rejected with, or null. */
    globalThis.failure = (promise) =>
      promise.then(
        () => null,
        ({ name, kind, message, hint }) => ({ name, kind, message, hint }),
      );
    globalThis.digest = async (bytes) => {
      const hash = await crypto.subtle.digest("SHA-256", bytes);
      return [...new Uint8Array(hash)].map((b) => b.toString(16).padStart(2, "0")).join("");
    };
    globalThis.base64 = (bytes) => {
      let text = "";
      for (let i = 0; i < bytes.length; i += 32768) {
        text += String.fromCharCode(...bytes.subarray(i, i + 32768));
      }
      return btoa(text);
    };
  });
  return { context, page };
}

/** Waits for a segmentation to end; gives the text of an error, or null. */
export async function ended(page, timeout = 300_000) {
  await page.waitForFunction(
    () =>
      document.getElementById("cancel").hidden &&
      (!document.getElementById("error").hidden ||
        /^(Done|Cancelled)/.test(document.getElementById("status").textContent)),
    undefined,
    { timeout },
  );
  const error = page.locator("#error");
  return (await error.isVisible()) ? error.innerText() : null;
}

/** The contents of a download that a click starts. */
export async function download(page, button) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

/** Shape, affine rows and whole-number voxels of a NIfTI-1 file. */
export function nifti(bytes) {
  const plain = bytes[0] === 0x1f ? gunzipSync(bytes) : bytes;
  assert.equal(plain.readInt32LE(0), 348);
  const shape = [1, 2, 3].map((i) => plain.readInt16LE(40 + 2 * i));
  const type = plain.readInt16LE(70);
  const affine = Array.from({ length: 12 }, (_, i) => plain.readFloatLE(280 + 4 * i));
  const start = plain.readFloatLE(108);
  const count = shape.reduce((a, b) => a * b);
  const read = {
    2: (i) => plain[start + i],
    4: (i) => plain.readInt16LE(start + 2 * i),
    16: (i) => plain.readFloatLE(start + 4 * i),
    512: (i) => plain.readUInt16LE(start + 2 * i),
  }[type];
  assert.ok(read, `type ${type}`);
  return { shape, affine, voxels: Float32Array.from({ length: count }, (_, i) => read(i)) };
}

/** Voxels that differ. */
export function differing(a, b) {
  assert.equal(a.length, b.length);
  let count = 0;
  for (let i = 0; i < a.length; i++) count += a[i] === b[i] ? 0 : 1;
  return count;
}

/** Float tensors of a safetensors file. */
export function safetensors(path) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const tensor = (name) => {
    const { dtype, shape, data_offsets } = header[name];
    assert.equal(dtype, "F32");
    const [from, to] = data_offsets.map((n) => 8 + length + n);
    const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset + from, bytes.byteOffset + to));
    return { shape, values };
  };
  return { tensor };
}

/**
 * A NIfTI-1 file: `value(x, y, z)` for each voxel, unsigned bytes on a grid of `spacing` mm about
 * the origin.
 */
export function volume(shape, spacing, value) {
  const bytes = Buffer.alloc(352 + shape.reduce((a, b) => a * b));
  bytes.writeInt32LE(348, 0);
  [3, ...shape, 1, 1, 1, 1].forEach((n, i) => bytes.writeInt16LE(n, 40 + 2 * i));
  bytes.writeInt16LE(2, 70);
  bytes.writeInt16LE(8, 72);
  [1, spacing, spacing, spacing].forEach((n, i) => bytes.writeFloatLE(n, 76 + 4 * i));
  bytes.writeFloatLE(352, 108);
  bytes[123] = 2;
  bytes.writeInt16LE(1, 254);
  shape.forEach((n, axis) => {
    bytes.writeFloatLE(spacing, 280 + 16 * axis + 4 * axis);
    bytes.writeFloatLE((-spacing * (n - 1)) / 2, 280 + 16 * axis + 12);
  });
  bytes.write("n+1\0", 344, "latin1");
  let at = 352;
  for (let z = 0; z < shape[2]; z++) {
    for (let y = 0; y < shape[1]; y++) {
      for (let x = 0; x < shape[0]; x++) bytes[at++] = value(x, y, z);
    }
  }
  return bytes;
}

/** A small head of three tissues, 64^3 voxels of 3 mm, different left and right. */
export function head() {
  const within = (p, centre, radii) =>
    p.reduce((sum, v, i) => sum + ((v - centre[i]) / radii[i]) ** 2, 0) < 1;
  return volume([64, 64, 64], 3, (...p) => {
    if (!within(p, [32, 32, 32], [24, 28, 24])) return 0;
    if (within(p, [22, 30, 34], [7, 9, 8])) return 70;
    return within(p, [40, 34, 30], [10, 12, 9]) ? 220 : 140;
  });
}

/** The bytes of a safetensors file of float tensors `name: [shape, values]`. */
export function writeSafetensors(tensors) {
  let offset = 0;
  const header = {};
  const parts = [];
  for (const [name, [shape, values]] of Object.entries(tensors)) {
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
    parts.push(bytes);
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...parts]);
}

/** Means of background and tissues of `head`, the largest 1. */
const MEANS = [0, 70 / 220, 140 / 220, 1];

/** A network that names the tissues of `head`, as safetensors with its JSON. */
export function tissues() {
  const smooth = new Float32Array(27).fill(0.01);
  smooth[13] = 1 - 26 * 0.01;
  const weights = writeSafetensors({
    "convs.0.weight": [[1, 1, 3, 3, 3], smooth],
    "convs.0.bias": [[1], Float32Array.of(0)],
    "convs.1.weight": [[4, 1, 1, 1, 1], Float32Array.from(MEANS)],
    "convs.1.bias": [[4], Float32Array.from(MEANS, (m) => (-m * m) / 2)],
  });
  const spec = {
    in_channels: 1,
    out_channels: 4,
    layers: [{ channels: 1, dilation: 1 }],
    activation: "relu",
    norm: false,
    bias: true,
  };
  return { weights, spec: Buffer.from(JSON.stringify(spec)) };
}

/** The same network as a TensorFlow.js folder of a topology and two files of weights. */
export function tissuesTfjs() {
  const conv = (name, before, filters, size) => ({
    class_name: "Conv3D",
    config: {
      name,
      filters,
      kernel_size: [size, size, size],
      strides: [1, 1, 1],
      padding: "same",
      data_format: "channels_last",
      dilation_rate: [1, 1, 1],
      groups: 1,
      activation: "linear",
      use_bias: true,
    },
    name,
    inbound_nodes: [[[before, 0, 0, {}]]],
  });
  const layers = [
    {
      class_name: "InputLayer",
      config: { batch_input_shape: [null, 256, 256, 256, 1], dtype: "float32", name: "input" },
      name: "input",
      inbound_nodes: [],
    },
    conv("smooth", "input", 1, 3),
    {
      class_name: "Activation",
      config: { name: "relu", activation: "relu" },
      name: "relu",
      inbound_nodes: [[["smooth", 0, 0, {}]]],
    },
    conv("output", "relu", 4, 1),
  ];
  const smooth = new Float32Array(28).fill(0.01);
  smooth[13] = 1 - 26 * 0.01;
  smooth[27] = 0;
  const output = Float32Array.from([...MEANS, ...MEANS.map((m) => (-m * m) / 2)]);
  const weight = (name, shape) => ({ name, shape, dtype: "float32" });
  const model = {
    format: "layers-model",
    modelTopology: {
      keras_version: "2.7.0",
      backend: "tensorflow",
      model_config: {
        class_name: "Functional",
        config: {
          name: "model",
          layers,
          input_layers: [["input", 0, 0]],
          output_layers: [["output", 0, 0]],
        },
      },
    },
    weightsManifest: [
      {
        paths: ["a.bin"],
        weights: [weight("smooth/kernel", [3, 3, 3, 1, 1]), weight("smooth/bias", [1])],
      },
      {
        paths: ["b.bin"],
        weights: [weight("output/kernel", [1, 1, 1, 1, 4]), weight("output/bias", [4])],
      },
    ],
  };
  return {
    "model.json": Buffer.from(JSON.stringify(model)),
    "a.bin": Buffer.from(smooth.buffer),
    "b.bin": Buffer.from(output.buffer),
  };
}
