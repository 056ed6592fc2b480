// The page in headless Chromium: real segmentations, privacy, bad input, offline.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  data, differing, download, ended, launch, nifti, open, safetensors, serve, web,
} from "./harness.mjs";

const MIB = 2 ** 20;
const T1 = join(data, "mri/t1_crop.nii.gz");
const LABELS = join(data, "labels/t1_crop.model5_gw_ae.nii.gz");
const GOLDEN = join(data, "golden");
const missing = (...paths) => {
  const path = paths.find((p) => !existsSync(p));
  return path ? `${path} is not there` : false;
};

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.stop();
});

/** Nothing went to another origin, and nothing but questions to our own. */
function assertPrivate(requests) {
  const origin = new URL(server.url).origin;
  assert.ok(requests.length > 3);
  for (const request of requests) {
    const url = new URL(request.url());
    if (url.protocol === "blob:" || url.protocol === "data:") continue;
    assert.equal(url.origin, origin, request.url());
    assert.equal(request.method(), "GET");
    assert.equal(request.postData(), null);
  }
}

test("modules are small", () => {
  for (const [device, budget] of [["cpu", 2], ["webgpu", 4]]) {
    const bytes = readFileSync(join(web, `pkg/${device}/amaes_wasm_bg.wasm`));
    const size = gzipSync(bytes, { level: 9 }).length;
    console.log(`  ${device}: ${(size / MIB).toFixed(2)} MiB gzipped`);
    assert.ok(size <= budget * MIB, `${device}: ${size} bytes`);
  }
});

test("the sample is segmented with one click, and nothing is sent", async () => {
  const { context, page, requests, errors } = await open(browser, `${server.url}/?backend=cpu`);
  await page.click("#sample");
  assert.equal(await ended(page), null);
  const rows = await page.locator("#labels tr").allInnerTexts();
  assert.deepEqual(rows.map((r) => r.split("\t")[0].trim()), ["fluid", "grey matter", "white matter"]);
  const { bytes, name } = await download(page, "#save-native");
  assert.equal(name, "phantom_labels.nii.gz");
  const labels = nifti(bytes);
  assert.deepEqual(labels.shape, [96, 112, 96]);
  // Counted from the ellipsoids' own volumes: within 10 %, for voxels and borders.
  const counts = [0, 0, 0, 0];
  for (const v of labels.voxels) counts[v]++;
  const whole = counts[1] + counts[2] + counts[3];
  const expected = ((4 / 3) * Math.PI * 36 * 44 * 36);
  assert.ok(Math.abs(whole / expected - 1) < 0.1, `${whole} of ${expected}`);
  const csv = (await download(page, "#save-csv")).bytes.toString();
  assert.match(csv, /^value,name,voxels.*\n1,"fluid",/);
  const listed = csv.trim().split("\n").slice(1).map((line) => Number(line.split(",")[2]));
  assert.deepEqual(listed, counts.slice(1));
  // Labels can be hidden and shown, by keyboard too.
  await page.locator("#labels input").first().focus();
  await page.keyboard.press("Space");
  assert.equal(await page.locator("#labels input").first().isChecked(), false);
  await page.keyboard.press("Space");
  assert.deepEqual(errors, []);
  assertPrivate(requests);
  await context.close();
});

test("model5_gw_ae on the CPU gives the published labels", { skip: missing(T1, LABELS) }, async () => {
  const { context, page, requests, errors } = await open(browser, `${server.url}/?backend=cpu`);
  await page.locator(".card", { hasText: "model5_gw_ae" }).click();
  await page.setInputFiles("#image-file", T1);
  await page.click("#run");
  assert.equal(await ended(page), null);
  console.log(`  ${await page.innerText("#facts")}`);
  const ours = nifti((await download(page, "#save-native")).bytes);
  const theirs = nifti(readFileSync(LABELS));
  const image = nifti(readFileSync(T1));
  assert.deepEqual(ours.shape, image.shape);
  assert.deepEqual(ours.affine, image.affine);
  const count = differing(ours.voxels, theirs.voxels);
  console.log(`  ${count} of ${ours.voxels.length} voxels differ`);
  assert.ok(count <= 20);
  // For a look at it.
  const picture = process.env.AMAES_SCREENSHOT;
  if (picture) await page.screenshot({ path: picture });
  assert.deepEqual(errors, []);
  assertPrivate(requests);
  await context.close();
});

test("what cannot be read is explained, and the page goes on", async () => {
  const { context, page } = await open(browser, `${server.url}/?backend=cpu`);
  const give = async (name, bytes) => {
    await page.setInputFiles("#image-file", { name, mimeType: "", buffer: Buffer.from(bytes) });
    await page.click("#run");
    const text = await ended(page);
    return { text, kind: await page.getAttribute("#error", "data-kind") };
  };
  const header = Buffer.alloc(352);
  header.writeInt32LE(348, 0);
  [3, 4, 4, 4, 1, 1, 1, 1].forEach((n, i) => header.writeInt16LE(n, 40 + 2 * i));
  header.writeInt16LE(2, 70);
  [1, 1, 1, 1].forEach((n, i) => header.writeFloatLE(n, 76 + 4 * i));
  header.writeFloatLE(352, 108);
  header.write("n+1\0", 344, "latin1");
  const four = Buffer.from(header);
  four.writeInt16LE(4, 40);
  four.writeInt16LE(2, 48);
  const cases = [
    ["text.nii", Buffer.from("this is no volume at all, but text"), "volume", /not a NIfTI/],
    ["empty.nii", Buffer.alloc(0), "volume", /not a NIfTI/],
    ["short.nii", Buffer.concat([header, Buffer.alloc(10)]), "volume", /ends after 10 of 64/],
    ["cut.nii.gz", gzipSync(Buffer.concat([header, Buffer.alloc(64)])).subarray(0, 40), "volume", /ends after|damaged/],
    ["four.nii", Buffer.concat([four, Buffer.alloc(128)]), "volume", /2 volumes/],
    ["flat.nii", Buffer.concat([header, Buffer.alloc(64)]), "image", /constant/],
  ];
  for (const [name, bytes, kind, message] of cases) {
    const error = await give(name, bytes);
    assert.equal(error.kind, kind, `${name}: ${error.text}`);
    assert.match(error.text, message);
  }
  // Weights that are none.
  await page.setInputFiles("#model-file", { name: "w.pth", mimeType: "", buffer: Buffer.from("no weights") });
  const weights = await give("flat.nii", Buffer.concat([header, Buffer.alloc(64)]));
  assert.equal(weights.kind, "model", weights.text);
  // After all that a good image works.
  await page.click("#sample-again");
  assert.equal(await ended(page), null);
  await context.close();
});

test("automatic choice falls back from a software adapter, and says so", async () => {
  const { context, page, errors } = await open(browser, server.url);
  const text = await page.innerText("#device");
  assert.match(text, /^CPU: .*WebGPU runs on the processor here/);
  assert.deepEqual(errors, []);
  await context.close();
});

test("cancelling leaves the page usable", { skip: missing(T1) }, async () => {
  const { context, page } = await open(browser, `${server.url}/?backend=cpu`);
  await page.locator(".card", { hasText: "model5_gw_ae" }).click();
  await page.setInputFiles("#image-file", T1);
  await page.click("#run");
  await page.waitForFunction(() => /Segmenting: [1-9]/.test(document.getElementById("status").textContent), undefined, { timeout: 120_000 });
  await page.click("#cancel");
  assert.equal(await ended(page), null);
  assert.equal(await page.innerText("#status"), "Cancelled.");
  await page.click("#sample-again");
  assert.equal(await ended(page), null);
  await context.close();
});

test("the page opens without a network after the first visit", async () => {
  const { context, page } = await open(browser, `${server.url}/?backend=cpu`);
  await page.evaluate(() => navigator.serviceWorker.ready);
  // Once more, with the service worker in charge.
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  await page.click("#sample");
  assert.equal(await ended(page), null);
  await context.setOffline(true);
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  await page.click("#sample");
  assert.equal(await ended(page), null);
  await context.close();
});

/** The largest error of the network's output against PyTorch's, relative to its range. */
async function golden(page, name) {
  const io = safetensors(join(GOLDEN, `${name}.io.safetensors`));
  const [input, output] = [io.tensor("input"), io.tensor("output")];
  const result = await page.evaluate(
    async ({ backend, name, values, shape }) => {
      const { Amaes } = await import("/amaes.js");
      const amaes = await Amaes.create({ backend });
      const file = new File([await (await fetch(`/golden/${name}.pth`)).arrayBuffer()], `${name}.pth`);
      const model = await amaes.loadModel([file]);
      const start = performance.now();
      const out = await model.forward(Float32Array.from(values), shape);
      const seconds = (performance.now() - start) / 1000;
      const adapter = amaes.device.adapter;
      amaes.dispose();
      return { out: [...out], seconds, adapter };
    },
    { backend: page.backend, name, values: [...input.values], shape: input.shape },
  );
  let [worst, sum] = [0, 0];
  assert.equal(result.out.length, output.values.length);
  output.values.forEach((v, i) => {
    worst = Math.max(worst, Math.abs(v - result.out[i]) / (1e-5 / 1e-4 + Math.abs(v)));
    sum += Math.abs(v);
  });
  assert.ok(sum > 0);
  return { worst, ...result };
}

for (const backend of ["cpu", "webgpu"]) {
  // The software adapter takes half a minute for each: one of both kinds, all with AMAES_LONG.
  const few = backend === "webgpu" && !process.env.AMAES_LONG;
  const names = existsSync(GOLDEN)
    ? readdirSync(GOLDEN).filter((f) => f.endsWith(".pth")).map((f) => f.slice(0, -4))
        .filter((name) => !few || ["mednext_light_4_1_32", "unet_seg_4_1_3_32"].includes(name))
    : [];
  test(`golden networks on ${backend} give PyTorch's outputs`, { skip: missing(GOLDEN) }, async () => {
    const { context, page, errors } = await open(browser, `${server.url}/?backend=cpu`, {
      serviceWorkers: "block",
    });
    page.backend = backend;
    await page.route("**/golden/*", (route) => {
      const name = new URL(route.request().url()).pathname.split("/").at(-1);
      return route.fulfill({ path: join(GOLDEN, name) });
    });
    for (const name of names) {
      const { worst, seconds, adapter } = await golden(page, name);
      console.log(`  ${name}: ${worst.toExponential(1)} in ${seconds.toFixed(1)} s on ${adapter}`);
      assert.ok(worst < 1e-4, `${name}: ${worst}`);
    }
    assert.deepEqual(errors, []);
    await context.close();
  });
}
