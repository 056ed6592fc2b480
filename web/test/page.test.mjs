// The page in headless Chromium: real segmentations, privacy, bad input, offline.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import {
  bare, data, differing, download, ended, head, nifti, open, safetensors, started, test, tissues, volume,
  web,
} from "./harness.mjs";

const MIB = 2 ** 20;
const T1 = join(data, "mri/t1_crop.nii.gz");
const LABELS = join(data, "labels/t1_crop.model5_gw_ae.nii.gz");
const GOLDEN = join(data, "golden");
const missing = (...paths) => {
  const path = paths.find((p) => !existsSync(p));
  return path ? `${path} is not there` : false;
};

const { server, browser } = await started(bare());

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
  for (const [device, budget] of [["cpu", 2], ["cpu-relaxed", 2], ["webgpu", 4]]) {
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
  const rows = await page.locator("#labels label").allInnerTexts();
  assert.deepEqual(rows.map((name) => name.trim()), ["fluid", "grey matter", "white matter"]);
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
  await page.locator("#labels input[type=checkbox]").first().focus();
  await page.keyboard.press("Space");
  assert.equal(await page.locator("#labels input[type=checkbox]").first().isChecked(), false);
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
  assert.deepEqual(errors, []);
  assertPrivate(requests);
  await context.close();
});

/** A byte in the middle changed. */
function damaged(bytes) {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1] ^= 0x55;
  return copy;
}

test("what cannot be read is explained, and the page goes on", async () => {
  const { context, page } = await open(browser, `${server.url}/?backend=cpu`);
  await page.locator(".card", { hasText: "Phantom" }).click();
  const give = async (name, bytes) => {
    await page.setInputFiles("#image-file", { name, mimeType: "", buffer: Buffer.from(bytes) });
    await page.click("#run");
    const text = await ended(page);
    return { text, kind: await page.getAttribute("#error", "data-kind") };
  };
  const good = volume([4, 4, 4], 1, (x, y, z) => x + 4 * y + 16 * z);
  const changed = (change) => {
    const bytes = Buffer.from(good);
    change(bytes);
    return bytes;
  };
  const cases = [
    ["text.nii", Buffer.from("this is no volume at all, but text"), "volume", /not a NIfTI/],
    ["empty.nii", Buffer.alloc(0), "volume", /not a NIfTI/],
    ["magic.nii", changed((b) => b.write("xyz\0", 344, "latin1")), "volume", /not a NIfTI|magic/],
    ["short.nii", good.subarray(0, 362), "volume", /ends after 10 of 64/],
    ["cut.nii.gz", gzipSync(good).subarray(0, 90), "volume", /ends after|damaged/],
    ["damaged.nii.gz", damaged(gzipSync(good)), "volume", /gzip|damaged|ends after/],
    ["four.nii", changed((b) => (b.writeInt16LE(4, 40), b.writeInt16LE(2, 48))), "volume", /2 volumes|ends after/],
    ["rgb.nii", changed((b) => (b.writeInt16LE(128, 70), b.writeInt16LE(24, 72))), "volume", /RGB|datatype|data type/i],
    ["slope.nii", changed((b) => b.writeFloatLE(NaN, 112)), null, /./],
    ["huge.nii", changed((b) => [42, 44, 46].forEach((at) => b.writeInt16LE(3000, at))), "memory", /promises/],
    ["negative.nii", changed((b) => b.writeInt16LE(-4, 42)), "volume", /./],
    ["affine.nii", changed((b) => b.fill(0, 280, 328)), "image", /singular/],
    ["flat.nii", volume([4, 4, 4], 1, () => 0), "image", /constant/],
  ];
  for (const [name, bytes, kind, message] of cases) {
    const error = await give(name, bytes);
    console.log(`  ${name}: ${error.text?.split("\n")[0]}`);
    assert.equal(error.text === null ? null : error.kind, kind, `${name}: ${error.text}`);
    assert.match(error.text ?? "done", message);
    assert.ok(error.text === null || error.text.split("\n").length > 1, "a hint");
  }
  // Weights that are none.
  await page.setInputFiles("#model-file", { name: "w.pth", mimeType: "", buffer: Buffer.from("no weights") });
  const weights = await give("flat.nii", volume([4, 4, 4], 1, () => 0));
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
  await context.setOffline(true);
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  await page.click("#sample");
  assert.equal(await ended(page), null);
  await context.close();
});

/** Drops weights and an image of `head` on the page. */
async function drop(page) {
  const { weights, spec } = tissues();
  const list = await page.evaluateHandle(
    (files) => {
      const transfer = new DataTransfer();
      for (const { name, text } of files) {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        transfer.items.add(new File([bytes], name));
      }
      return transfer;
    },
    [["head.nii", head()], ["tissues.safetensors", weights], ["tissues.json", spec]].map(
      ([name, bytes]) => ({ name, text: Buffer.from(bytes).toString("base64") }),
    ),
  );
  await page.dispatchEvent("#view", "drop", { dataTransfer: list });
  await page.waitForFunction(() => !document.getElementById("run").disabled);
}

test("labels are hidden, recoloured, compared, edited, measured and saved as surfaces", async () => {
  const { context, page, errors } = await open(browser, `${server.url}/?backend=cpu`);
  await drop(page);
  await page.click("#run");
  assert.equal(await ended(page), null);
  const first = nifti((await download(page, "#save-native")).bytes);
  const conformed = nifti((await download(page, "#save-prepared")).bytes);
  assert.deepEqual(first.shape, [64, 64, 64]);
  assert.deepEqual(conformed.shape, [256, 256, 256]);

  // Hover names what is under the pointer.
  const canvas = await page.locator("#canvas").boundingBox();
  const names = new Set();
  for (let i = 1; i < 20; i++) {
    await page.mouse.move(canvas.x + (canvas.width * i) / 20, canvas.y + canvas.height * 0.3);
    names.add((await page.innerText("#location")).split(/ {2}| mm /).at(-1).trim());
  }
  assert.ok([...names].some((name) => /class [123]/.test(name)), [...names].join("|"));

  // Hidden labels and new colours change the picture.
  const picture = async () => (await page.locator("#canvas").screenshot()).toString("base64");
  const shown = await picture();
  await page.locator("#labels input[type=checkbox]").nth(1).uncheck();
  const hidden = await picture();
  assert.notEqual(shown, hidden);
  assert.equal(await page.isChecked("#all"), false);
  await page.locator("#labels input[type=checkbox]").nth(1).check();
  await page.locator("#labels input[type=color]").nth(1).fill("#00ff00");
  assert.notEqual(await picture(), shown);
  await page.locator("#opacity").fill("0");
  const bare = await picture();
  assert.notEqual(bare, shown);
  await page.locator("#opacity").fill("0.5");

  // The pen: opening and applying changes nothing by itself.
  await page.click("#edit");
  assert.equal(await page.getAttribute("#edit", "aria-pressed"), "true");
  await page.click("#pen-apply");
  await page.waitForFunction(() => document.getElementById("shown").options.length === 2);
  const same = nifti((await download(page, "#save-native")).bytes);
  assert.equal(differing(same.voxels, first.voxels), 0);
  assert.deepEqual(same.affine, first.affine);

  // A stroke of label 3 through the middle of the axial slice.
  await page.selectOption("#layout", "axial");
  await page.click("#edit");
  await page.selectOption("#pen-label", { index: 3 });
  await page.fill("#pen-width", "4");
  await page.dispatchEvent("#pen-width", "change");
  const [x, y] = [canvas.x + canvas.width / 2, canvas.y + canvas.height / 2];
  await page.mouse.move(x - 40, y - 60);
  await page.mouse.down();
  await page.mouse.move(x + 10, y - 60, { steps: 8 });
  await page.mouse.up();
  await page.click("#pen-apply");
  await page.waitForFunction(() => document.getElementById("shown").options.length === 3);
  const edited = nifti((await download(page, "#save-native")).bytes);
  const changed = differing(edited.voxels, first.voxels);
  console.log(`  ${changed} voxels were drawn`);
  assert.ok(changed > 10 && changed < 2000);
  edited.voxels.forEach((v, i) => assert.ok(v === first.voxels[i] || v === 3));
  const count = (voxels, label) => voxels.reduce((n, v) => n + (v === label ? 1 : 0), 0);
  const csv = (await download(page, "#save-csv")).bytes.toString();
  const listed = csv.trim().split("\n").slice(1).map((line) => Number(line.split(",")[2]));
  assert.deepEqual(listed, [1, 2, 3].map((label) => count(edited.voxels, label)));

  // Compared with what it was.
  await page.selectOption("#against", { index: 1 });
  await page.waitForFunction(() => document.querySelectorAll("#label-head th").length === 4);
  const dice = (await page.locator("#labels tr td:last-child").allInnerTexts()).map(Number);
  [1, 2, 3].forEach((label, i) => {
    const both = edited.voxels.filter((v, at) => v === label && first.voxels[at] === label).length;
    const expected = (2 * both) / (count(edited.voxels, label) + count(first.voxels, label));
    assert.ok(Math.abs(dice[i] - expected) < 1e-4, `${dice[i]} and ${expected}`);
  });
  assert.ok(dice[2] < 1);
  await page.click("#swap");
  await page.waitForFunction(() => document.getElementById("shown").value === "0");
  const swapped = nifti((await download(page, "#save-native")).bytes);
  assert.equal(differing(swapped.voxels, first.voxels), 0);

  // Surfaces and the picture.
  await page.click("#result summary");
  for (const format of ["stl", "ply"]) {
    await page.selectOption("#surface-format", format);
    const { name, bytes } = await download(page, "#save-surface");
    assert.equal(name, `head_class-1.${format}`);
    if (format === "stl") assert.equal(bytes.length, 84 + 50 * bytes.readUInt32LE(80));
    else assert.match(bytes.toString("latin1"), /^ply\n/);
  }
  const png = await download(page, "#save-picture");
  assert.equal(png.bytes.subarray(1, 4).toString(), "PNG");
  assert.deepEqual(errors, []);
  await context.close();
});

test("a killed worker leaves the page usable", async () => {
  const { context, page } = await open(browser, `${server.url}/?backend=cpu`);
  await drop(page);
  await page.click("#run");
  await page.workers()[0].evaluate(() => self.close()).catch(() => undefined);
  assert.match(await ended(page), /stopped/);
  assert.equal(await page.getAttribute("#error", "data-kind"), "crashed");
  await page.click("#run");
  assert.equal(await ended(page), null);
  await context.close();
});

test("the page fits a phone, both schemes, and the keyboard", async () => {
  for (const colorScheme of ["dark", "light"]) {
    const { context, page } = await open(browser, `${server.url}/?backend=cpu`, {
      viewport: { width: 360, height: 740 },
      hasTouch: true,
      isMobile: true,
      colorScheme,
    });
    await page.tap("#sample");
    assert.equal(await ended(page), null);
    const { width, back, text, small } = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      back: getComputedStyle(document.body).backgroundColor,
      text: getComputedStyle(document.body).color,
      // Buttons that a finger would miss.
      small: [...document.querySelectorAll("button, select")]
        .filter((e) => e.offsetParent && (e.offsetHeight < 44 || e.offsetWidth < 44))
        .map((e) => e.id || e.ariaLabel),
    }));
    assert.ok(width <= 360, `${width} pixels wide`);
    assert.deepEqual(small, []);
    const bright = (colour) => colour.match(/\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3;
    assert.equal(bright(back) > bright(text), colorScheme === "light");
    await context.close();
  }
  // By keyboard alone, with names for everything.
  const { context, page } = await open(browser, `${server.url}/?backend=cpu`);
  await page.focus("#sample");
  await page.keyboard.press("Enter");
  assert.equal(await ended(page), null);
  await page.focus("#canvas");
  const before = await page.innerText("#location");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("PageUp");
  await page.waitForFunction((before) => document.getElementById("location").textContent.trim() !== before, before);
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("button, select, input, canvas, progress")]
      .filter((e) => e.type !== "file" && !e.ariaLabel && !e.textContent.trim() && !e.labels?.length)
      .map((e) => e.outerHTML),
  );
  assert.deepEqual(nameless, []);
  const [duplicate] = await page.evaluate(() => {
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i);
  });
  assert.equal(duplicate, undefined);
  await context.close();
});

test("the page can be installed, and its security policy forbids other origins", async () => {
  const { context, page } = await open(browser, `${server.url}/?backend=cpu`);
  await page.evaluate(() => navigator.serviceWorker.ready);
  const session = await context.newCDPSession(page);
  const { errors, data: manifest } = await session.send("Page.getAppManifest");
  assert.deepEqual(errors, []);
  assert.equal(JSON.parse(manifest).display, "standalone");
  const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
  const serious = installabilityErrors.map((e) => e.errorId).filter((id) => id !== "in-incognito");
  assert.deepEqual(serious, []);
  // Even a script of the page could not send anything.
  const blocked = await page.evaluate(async () => {
    const heard = new Promise((resolve) =>
      document.addEventListener("securitypolicyviolation", (e) => resolve(e.effectiveDirective)),
    );
    const sent = await fetch("https://example.org/", { method: "POST", body: "image" }).then(
      () => "sent",
      () => heard,
    );
    return sent;
  });
  assert.equal(blocked, "connect-src");
  const headers = (await page.request.get(server.url)).headers();
  assert.match(headers["content-security-policy"], /frame-ancestors 'none'/);
  assert.equal(headers["cross-origin-opener-policy"], "same-origin");
  assert.equal(headers["cross-origin-embedder-policy"], "require-corp");
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  await page.click("#network-title");
  assert.match(await page.innerText("#network"), /None went to another site/);
  assert.ok((await page.locator("#requests tr").count()) > 3);
  await context.close();
});

test("a DICOM folder is converted and segmented", async () => {
  const { context, page, errors } = await open(browser, `${server.url}/?backend=cpu`);
  const files = dicomSeries().map((buffer, i) => ({
    name: `IM${String(i).padStart(4, "0")}`,
    mimeType: "application/dicom",
    buffer,
  }));
  const { weights, spec } = tissues();
  await page.setInputFiles("#model-file", [
    { name: "tissues.safetensors", mimeType: "", buffer: weights },
    { name: "tissues.json", mimeType: "", buffer: spec },
  ]);
  const list = await page.evaluateHandle(
    (files) => {
      const transfer = new DataTransfer();
      for (const { name, text } of files) {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        transfer.items.add(new File([bytes], name));
      }
      return transfer;
    },
    files.map(({ name, buffer }) => ({ name, text: buffer.toString("base64") })),
  );
  await page.dispatchEvent("#view", "drop", { dataTransfer: list });
  await page.waitForFunction(
    () => !document.getElementById("run").disabled || !document.getElementById("error").hidden,
    undefined,
    { timeout: 60_000 },
  );
  assert.equal(await page.locator("#error").isVisible(), false, await page.innerText("#error"));
  await page.click("#run");
  assert.equal(await ended(page), null);
  const { shape, voxels } = nifti((await download(page, "#save-native")).bytes);
  assert.deepEqual(shape, [64, 64, 32]);
  assert.ok(new Set(voxels).size === 4);
  assert.deepEqual(errors, []);
  await context.close();
});

/** Explicit little-endian DICOM files of every second slice of `head`. */
function dicomSeries() {
  const image = head();
  const element = (group, tag, kind, value) => {
    let bytes = Buffer.isBuffer(value) ? value : Buffer.from(String(value), "latin1");
    if (bytes.length % 2 === 1) {
      bytes = Buffer.concat([bytes, Buffer.from(kind === "UI" ? "\0" : " ", "latin1")]);
    }
    const long = ["OB", "OW"].includes(kind);
    const head = Buffer.alloc(long ? 12 : 8);
    head.writeUInt16LE(group, 0);
    head.writeUInt16LE(tag, 2);
    head.write(kind, 4, "latin1");
    if (long) head.writeUInt32LE(bytes.length, 8);
    else head.writeUInt16LE(bytes.length, 6);
    return Buffer.concat([head, bytes]);
  };
  const short = (value) => {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value);
    return bytes;
  };
  const uid = "1.2.826.0.1.3680043.8.498.1";
  return Array.from({ length: 32 }, (_, i) => {
    const z = 2 * i;
    const pixels = Buffer.alloc(2 * 64 * 64);
    for (let j = 0; j < 4096; j++) pixels.writeUInt16LE(image[352 + z * 4096 + j], 2 * j);
    const instance = `${uid}.3.${i + 1}`;
    const meta = Buffer.concat([
      element(2, 0x01, "OB", Buffer.from([0, 1])),
      element(2, 0x02, "UI", "1.2.840.10008.5.1.4.1.1.4"),
      element(2, 0x03, "UI", instance),
      element(2, 0x10, "UI", "1.2.840.10008.1.2.1"),
    ]);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(meta.length);
    return Buffer.concat([
      Buffer.alloc(128),
      Buffer.from("DICM"),
      element(2, 0x00, "UL", size),
      meta,
      element(8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.4"),
      element(8, 0x18, "UI", instance),
      element(8, 0x20, "DA", "20200101"),
      element(8, 0x30, "TM", "120000"),
      element(8, 0x60, "CS", "MR"),
      element(8, 0x70, "LO", "SIEMENS"),
      element(8, 0x103e, "LO", "T1"),
      element(0x10, 0x10, "PN", "None"),
      element(0x18, 0x50, "DS", "6"),
      element(0x18, 0x88, "DS", "6"),
      element(0x20, 0x0d, "UI", `${uid}.1`),
      element(0x20, 0x0e, "UI", `${uid}.2`),
      element(0x20, 0x11, "IS", "1"),
      element(0x20, 0x13, "IS", i + 1),
      element(0x20, 0x32, "DS", `-96\\-96\\${6 * i - 96}`),
      element(0x20, 0x37, "DS", "1\\0\\0\\0\\1\\0"),
      element(0x28, 0x02, "US", short(1)),
      element(0x28, 0x04, "CS", "MONOCHROME2"),
      element(0x28, 0x10, "US", short(64)),
      element(0x28, 0x11, "US", short(64)),
      element(0x28, 0x30, "DS", "3\\3"),
      element(0x28, 0x100, "US", short(16)),
      element(0x28, 0x101, "US", short(12)),
      element(0x28, 0x102, "US", short(11)),
      element(0x28, 0x103, "US", short(0)),
      element(0x7fe0, 0x10, "OW", pixels),
    ]);
  });
}

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
  const names = existsSync(GOLDEN)
    ? readdirSync(GOLDEN).filter((f) => f.endsWith(".pth")).map((f) => f.slice(0, -4))
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
    assert.ok(names.some((name) => name.startsWith("mednext")));
    for (const name of names) {
      const { worst, seconds, adapter } = await golden(page, name);
      console.log(`  ${name}: ${worst.toExponential(1)} in ${seconds.toFixed(1)} s on ${adapter}`);
      assert.ok(worst < 1e-4, `${name}: ${worst}`);
    }
    assert.deepEqual(errors, []);
    await context.close();
  });
}
