// What the tests share: the server, the browser, and files of medical images.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { chromium } from "playwright-core";

export const web = join(dirname(fileURLToPath(import.meta.url)), "..");
/** Published images, weights and results, which do not belong to the project. */
export const data = process.env.AMAES_DATA ?? join(web, "../../shared");
const program = process.env.AMAES_PROGRAM ?? join(web, "../target/release/amaes");

const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const browserPath = process.env.AMAES_BROWSER ?? BROWSERS.find(existsSync);

/** The server of the page, on a free port. */
export async function serve() {
  const models = join(data, "weights/brainchop");
  const more = existsSync(models) ? ["--models", models] : [];
  const args = ["serve", "--page", join(web, "dist"), "--port", "0", ...more];
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
