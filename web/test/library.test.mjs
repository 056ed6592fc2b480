// The library without the page: weights, channels, threads, limits, and whatever goes wrong.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { gzipSync } from "node:zlib";
import {
  blank, data, differing, head, nifti, program, started, test, tissues, tissuesTfjs,
  volume, web, writeSafetensors,
} from "./harness.mjs";

const GOLDEN = join(data, "golden");
const golden = (name) => join(GOLDEN, name);
const missing = existsSync(GOLDEN) ? false : `${GOLDEN} is not there`;
const folder = mkdtempSync(join(tmpdir(), "amaes-"));
const path = (name) => join(folder, name);

const { server, browser } = await started();
before(() => {
  writeFileSync(path("head.nii"), head());
  const { weights, spec } = tissues();
  writeFileSync(path("tissues.safetensors"), weights);
  writeFileSync(path("tissues.json"), spec);
  for (const [name, bytes] of Object.entries(tissuesTfjs())) writeFileSync(path(name), bytes);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A page with the library and these files. */
const open = () =>
  blank(browser, server.url, (name) => [path(name), golden(name)].find((file) => existsSync(file)));

/** Labels of a file in base64. */
const labels = (base64) => nifti(Buffer.from(base64, "base64")).voxels;

test("any weights can be dropped in, and give the same labels", async () => {
  const { context, page } = await open();
  const file = path("tissues.amaes");
  const args = ["import", path("tissues.safetensors"), "--config", path("tissues.json"), "-o", file];
  execFileSync(program, args, { stdio: "pipe" });
  const results = await page.evaluate(async () => {
    const amaes = await Amaes.create({ backend: "cpu" });
    const image = await file("head.nii");
    const sources = {
      amaes: [await file("tissues.amaes")],
      safetensors: [await file("tissues.safetensors"), await file("tissues.json")],
      tfjs: await Promise.all(["model.json", "a.bin", "b.bin"].map((name) => file(name))),
      address: "/data/model.json",
      bytes: await (await file("tissues.amaes")).arrayBuffer(),
    };
    const out = {};
    for (const [kind, source] of Object.entries(sources)) {
      const model = await amaes.loadModel(source);
      const { native, statistics } = await model.segment(image);
      out[kind] = { format: model.info().format, native: base64(native), statistics };
      model.dispose();
    }
    amaes.dispose();
    return out;
  });
  const first = labels(results.amaes.native);
  assert.deepEqual([...new Set(first)].sort(), [0, 1, 2, 3]);
  for (const [kind, { native, format }] of Object.entries(results)) {
    console.log(`  ${kind}: ${format}`);
    assert.equal(differing(labels(native), first), 0, kind);
  }
  // The command line agrees.
  const out = path("command.nii.gz");
  execFileSync(program, ["segment", "-m", file, "-i", path("head.nii"), "-o", out], { stdio: "pipe" });
  assert.equal(differing(nifti(readFileSync(out)).voxels, first), 0);
  // What was painted is what was found, but for the borders.
  const painted = nifti(head()).voxels.map((v) => [0, 70, 140, 220].indexOf(v));
  assert.ok(differing(painted, first) < 0.03 * painted.filter((v) => v > 0).length);
  await context.close();
});

test("WebGPU within 128 MiB a buffer, and no relaxed SIMD, give the CPU's labels", async () => {
  copyFileSync(join(web, "pkg/cpu/amaes_wasm_bg.wasm"), path("cpu.wasm"));
  const { context, page } = await open();
  const gpuTiles = {
    quads: 2, voxels: [1, 4], pointwiseQuads: 1, gradientQuads: 1, workgroup: 32, busy: 1024,
  };
  const result = await page.evaluate(async (gpuTiles) => {
    const out = {};
    for (const [name, options] of Object.entries({
      cpu: { backend: "cpu" },
      plain: { backend: "cpu", wasmUrl: { cpu: "/data/cpu.wasm" } },
      webgpu: { backend: "webgpu" },
      capped: { backend: "webgpu", maxBufferBytes: 128 * 2 ** 20 },
      tiles: { backend: "webgpu", gpuTiles },
    })) {
      const amaes = await Amaes.create(options);
      const model = await amaes.loadModel([await file("tissues.safetensors"), await file("tissues.json")]);
      const { native, memory, timings } = await model.segment(await file("head.nii"));
      out[name] = { native: base64(native), memory, timings, device: amaes.device };
      amaes.dispose();
    }
    const refused = { backend: "webgpu", gpuTiles: { ...gpuTiles, quads: 3 } };
    out.refused = await failure(Amaes.create(refused));
    return out;
  }, gpuTiles);
  const { refused, ...runs } = result;
  assert.deepEqual([refused.kind, /gpuTiles.*quads/.test(refused.message)], ["option", true]);
  // The browser's software adapter is known by its words, and has tiles of its own.
  assert.notDeepEqual(runs.webgpu.device.gpuTiles, gpuTiles);
  assert.equal(runs.webgpu.device.gpuTiles.workgroup, 8);
  assert.deepEqual(runs.tiles.device.gpuTiles, gpuTiles);
  assert.match(result.cpu.device.adapter, /multiply-add/);
  assert.doesNotMatch(result.plain.device.adapter, /multiply-add/);
  for (const [name, { native, memory, timings }] of Object.entries(runs)) {
    const largest = Math.ceil(memory.largestBuffer / 2 ** 20);
    console.log(`  ${name}: network ${timings.network.toFixed(1)} s, largest buffer ${largest} MiB`);
    assert.ok(differing(labels(native), labels(result.cpu.native)) <= 20, name);
  }
  const { largestBuffer } = result.capped.memory;
  assert.ok(largestBuffer > 2 ** 20 && largestBuffer <= 128 * 2 ** 20, `${largestBuffer} bytes`);
  await context.close();
});

test("images may come as streams, bytes and files, addresses are verified and kept", async () => {
  const { context, page } = await open();
  const args = ["import", path("tissues.safetensors"), "--config", path("tissues.json")];
  execFileSync(program, [...args, "-o", path("tissues.amaes")], { stdio: "pipe" });
  const fetched = [];
  page.on("request", (request) => fetched.push(new URL(request.url()).pathname));
  const result = await page.evaluate(async () => {
    const amaes = await Amaes.create({ backend: "cpu" });
    const bytes = await (await file("tissues.amaes")).arrayBuffer();
    const sha256 = await digest(bytes);
    const url = "/data/tissues.amaes";
    const wrong = await failure(amaes.loadModel(url, { sha256: "0".repeat(64) }));
    const absent = await failure(amaes.loadModel("/data/none.amaes"));
    const told = [];
    const model = await amaes.loadModel(url, { sha256, onProgress: (done) => told.push(done) });
    await amaes.loadModel(url, { sha256 });
    const image = await file("head.nii");
    const phases = new Set();
    const whole = await model.segment(image, { onProgress: ({ phase }) => phases.add(phase) });
    const stream = await model.segment(image.stream());
    const buffer = await model.segment(await image.arrayBuffer());
    const same = [whole, stream, buffer].map(({ native }) => base64(native));
    amaes.dispose();
    return {
      wrong, absent, told, total: bytes.byteLength, same, phases: [...phases],
      means: [whole, stream, buffer].map(({ statistics }) => statistics[1].mean),
      memory: whole.memory, timings: whole.timings,
    };
  });
  assert.equal(result.wrong.kind, "network");
  assert.match(result.wrong.message, /SHA-256/);
  assert.equal(result.wrong.name, "AmaesError");
  assert.equal(result.absent.kind, "network");
  assert.match(result.absent.message, /404/);
  assert.equal(result.told.at(-1), result.total);
  // Wrong, then right; the third time it was kept.
  assert.equal(fetched.filter((name) => name === "/data/tissues.amaes").length, 3);
  assert.equal(new Set(result.same).size, 1);
  assert.deepEqual(result.phases, ["read", "network", "finish"]);
  assert.ok(Math.abs(result.means[0] - 140) < 5);
  assert.equal(result.means[1], null);
  assert.equal(result.means[2], result.means[0]);
  assert.ok(result.memory.wasm > 2 ** 24 && result.timings.network > 0);
  await context.close();
});

test("several channels give the command's labels, a wrong number an error", { skip: missing }, async () => {
  const { context, page } = await open();
  const shade = (seed) => (x, y, z) =>
    (x - 24) ** 2 + (y - 24) ** 2 + (z - 24) ** 2 < 400 ? 60 + ((x * seed + y * 3 + z * z) % 97) : 0;
  writeFileSync(path("t1.nii"), volume([48, 48, 48], 1, shade(5)));
  writeFileSync(path("t2.nii"), volume([48, 48, 48], 1, shade(11)));
  const model = golden("unet_seg_4_2_4_48.pth");
  const out = path("channels.nii.gz");
  const images = `${path("t1.nii")},${path("t2.nii")}`;
  execFileSync(program, ["segment", "-m", model, "-i", images, "-o", out], { stdio: "pipe" });
  const result = await page.evaluate(async () => {
    const amaes = await Amaes.create({ backend: "cpu" });
    const model = await amaes.loadModel([await file("unet_seg_4_2_4_48.pth")]);
    const [t1, t2] = [await file("t1.nii"), await file("t2.nii")];
    const one = await failure(model.segment(t1));
    const { native } = await model.segment([t1, t2]);
    const other = await failure(model.segment([t1, await file("head.nii")]));
    amaes.dispose();
    return { one, other, native: base64(native), channels: model.info().channels };
  });
  assert.equal(result.channels, 2);
  assert.equal(result.one.kind, "image");
  assert.match(result.one.message, /reads 2 channel\(s\), the image has 1/);
  assert.equal(result.other.kind, "image");
  const theirs = nifti(readFileSync(out)).voxels;
  assert.ok(new Set(theirs).size > 1);
  assert.ok(differing(labels(result.native), theirs) <= 2);
  await context.close();
});

test("any number of threads gives the same labels, even when one is killed", { skip: missing }, async () => {
  const { context, page } = await open();
  const texture = (x, y, z) => 20 + ((x * 7 + y * 5 + z * z * 3) % 200);
  writeFileSync(path("texture.nii"), volume([70, 66, 58], 1, texture));
  const result = await page.evaluate(async () => {
    const out = [];
    for (const threads of [1, 2, 3]) {
      const amaes = await Amaes.create({ backend: "cpu", threads });
      for (const [names, settings] of [
        [["unet_seg_4_1_3_32.pth"], { patch: [32, 32, 32] }],
        [["tissues.safetensors", "tissues.json"], {}],
      ]) {
        const model = await amaes.loadModel(await Promise.all(names.map((name) => file(name))));
        const { native } = await model.segment(await file("texture.nii"), settings);
        out.push({ threads, name: names[0], native: base64(native) });
      }
      amaes.dispose();
    }
    return out;
  });
  for (const { threads, name, native } of result) {
    const alone = result.find((r) => r.name === name && r.threads === 1).native;
    assert.equal(native, alone, `${name} with ${threads} threads`);
    assert.ok(new Set(labels(native)).size > 1, name);
  }
  // The helper of a second thread is stopped, as soon as it is there or while it works: the first
  // does the rest of the windows, and strips anew, whose rows nobody gives it.
  for (const [i, names] of [["unet_seg_4_1_3_32.pth"], ["tissues.safetensors", "tissues.json"]].entries()) {
    for (const begun of [0, 0.2]) {
      // Those of the runs before are ended, but listed for a while.
      await eventually(() => page.workers().length === 0);
      const running = page.evaluate(async (names) => {
        globalThis.fraction = 0;
        const amaes = await Amaes.create({ backend: "cpu", threads: 2 });
        const model = await amaes.loadModel(await Promise.all(names.map((name) => file(name))));
        const { native } = await model.segment(await file("texture.nii"), {
          patch: [32, 32, 32],
          onProgress: (progress) => (fraction = progress.phase === "network" ? progress.fraction : 0),
        });
        amaes.dispose();
        return base64(native);
      }, names);
      const helper = await eventually(() => page.workers()[1]);
      await page.waitForFunction((begun) => fraction >= begun, begun, { polling: 10 });
      await helper.evaluate(() => self.close()).catch(() => undefined);
      assert.equal(await running, result[i].native, names[0]);
    }
  }
  // Who waits for a neighbour's rows hears that it is to stop.
  const stopped = await page.evaluate(async () => {
    const amaes = await Amaes.create({ backend: "cpu", threads: 3 });
    const model = await amaes.loadModel([await file("tissues.safetensors"), await file("tissues.json")]);
    const controller = new AbortController();
    const error = await failure(
      model.segment(await file("texture.nii"), {
        signal: controller.signal,
        onProgress: ({ phase, fraction }) => phase === "network" && fraction > 0 && controller.abort(),
      }),
    );
    const { native } = await model.segment(await file("texture.nii"));
    amaes.dispose();
    return { kind: error.kind, native: base64(native) };
  });
  assert.equal(stopped.kind, "cancelled");
  assert.equal(stopped.native, result[1].native);
  await context.close();
});

/** What `find` gives, once it gives something. */
async function eventually(find, tries = 200) {
  for (let i = 0; i < tries; i++) {
    const found = await find();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("it did not come");
}

/** Segments in the page, and again after what `harm` does while the first runs. */
async function harmed(page, backend, harm) {
  await page.evaluate(async (backend) => {
    globalThis.amaes = await Amaes.create({ backend, threads: 1 });
    globalThis.model = await amaes.loadModel([await file("tissues.safetensors"), await file("tissues.json")]);
    globalThis.image = await file("head.nii");
    globalThis.controller = new AbortController();
    globalThis.phase = "";
    globalThis.first = failure(
      model.segment(image, {
        signal: controller.signal,
        onProgress: (progress) => (phase = progress.phase),
      }),
    );
  }, backend);
  await page.waitForFunction(() => phase === "network");
  await harm();
  const first = await page.evaluate(() => first);
  const second = await page.evaluate(async () => {
    const { statistics } = await model.segment(image);
    amaes.dispose();
    return statistics.map(({ voxels }) => voxels);
  });
  assert.ok(second.every((voxels) => voxels > 300), String(second));
  return first;
}

test("cancelling leaves the library usable", async () => {
  const { context, page } = await open();
  const error = await harmed(page, "cpu", () => page.evaluate(() => controller.abort()));
  assert.equal(error?.kind, "cancelled");
  const before = await page.evaluate(async () => {
    const amaes = await Amaes.create({ backend: "cpu" });
    const model = await amaes.loadModel([await file("tissues.safetensors"), await file("tissues.json")]);
    const error = await failure(model.segment(await file("head.nii"), { signal: AbortSignal.abort() }));
    const loading = await failure(amaes.loadModel("/data/b.bin", { signal: AbortSignal.abort() }));
    amaes.dispose();
    const disposed = await failure(model.segment(await file("head.nii")));
    return [error.kind, loading.kind, disposed.kind];
  });
  assert.deepEqual(before, ["cancelled", "cancelled", "order"]);
  await context.close();
});

test("a killed worker is noticed and replaced", async () => {
  const { context, page } = await open();
  const error = await harmed(page, "cpu", async () => {
    await page.workers()[0].evaluate(() => self.close()).catch(() => undefined);
  });
  assert.equal(error?.kind, "crashed", JSON.stringify(error));
  await context.close();
});

test("a lost graphics card is reported and opened again", async () => {
  const { context, page } = await open();
  const error = await harmed(page, "webgpu", () =>
    // The next buffer finds its device gone.
    page.workers()[0].evaluate(() => {
      const { prototype } = GPUDevice;
      const create = prototype.createBuffer;
      prototype.createBuffer = function (descriptor) {
        prototype.createBuffer = create;
        this.destroy();
        return create.call(this, descriptor);
      };
    }),
  );
  assert.equal(error?.kind, "device", JSON.stringify(error));
  await context.close();
});

test("memory that does not suffice is reported, and the library stays usable", async () => {
  const { context, page } = await open();
  // Two layers of 2 GiB each: the second cannot be had.
  const layers = [1, 2];
  const wide = writeSafetensors({
    "convs.0.weight": [[255, 1, 3, 3, 3], new Float32Array(255 * 27)],
    "convs.0.bias": [[255], new Float32Array(255)],
    "convs.1.weight": [[255, 255, 3, 3, 3], new Float32Array(255 * 255 * 27)],
    "convs.1.bias": [[255], new Float32Array(255)],
    "convs.2.weight": [[2, 255, 1, 1, 1], new Float32Array(510)],
    "convs.2.bias": [[2], new Float32Array(2)],
  });
  const spec = {
    in_channels: 1,
    out_channels: 2,
    layers: layers.map(() => ({ channels: 255, dilation: 1 })),
    activation: "relu",
    norm: false,
    bias: true,
  };
  writeFileSync(path("wide.safetensors"), wide);
  writeFileSync(path("wide.json"), JSON.stringify(spec));
  // An image whose header promises more than 32 bits address.
  const huge = volume([4, 4, 4], 1, () => 1);
  [1500, 1500, 1500].forEach((n, i) => huge.writeInt16LE(n, 42 + 2 * i));
  writeFileSync(path("huge.nii.gz"), gzipSync(huge));
  const result = await page.evaluate(async () => {
    const amaes = await Amaes.create({ backend: "cpu", threads: 1 });
    const model = await amaes.loadModel([await file("tissues.safetensors"), await file("tissues.json")]);
    const wide = await amaes.loadModel([await file("wide.safetensors"), await file("wide.json")]);
    const trapped = await failure(wide.forward(new Float32Array(128 ** 3), [1, 1, 128, 128, 128]));
    const large = await failure(model.segment(await file("huge.nii.gz")));
    const image = await file("head.nii");
    const limited = await failure(model.segment(image, { memoryLimit: 1000 }));
    const buffer = await failure(model.segment(image, { maxBufferBytes: 100 }));
    const { statistics } = await model.segment(image);
    amaes.dispose();
    return { trapped, large, limited, buffer, voxels: statistics.map(({ voxels }) => voxels) };
  });
  for (const name of ["trapped", "large", "limited", "buffer"]) {
    assert.equal(result[name]?.kind, "memory", `${name}: ${JSON.stringify(result[name])}`);
    assert.ok(result[name].hint.length > 0);
  }
  assert.ok(result.voxels.every((n) => n > 300));
  await context.close();
});

test("label maps are measured, compared and turned into closed surfaces", async () => {
  const { context, page } = await open();
  const result = await page.evaluate(async () => {
    const amaes = await Amaes.create({ backend: "cpu" });
    const model = await amaes.loadModel([await file("tissues.safetensors"), await file("tissues.json")]);
    const image = await file("head.nii");
    const { native, prepared, statistics } = await model.segment(image);
    const measured = await amaes.measure(native, model.info().labels, image);
    const overlaps = await amaes.compare(native, native);
    const other = await failure(amaes.compare(native, prepared));
    const absent = await failure(amaes.surface(native, 99));
    const stl = base64(await amaes.surface(native, 3));
    const ply = base64(await amaes.surface(native, 3, { format: "ply", smoothing: 0 }));
    amaes.dispose();
    return { statistics, measured, overlaps, other, absent, stl, ply };
  });
  assert.deepEqual(result.measured, result.statistics);
  assert.deepEqual(result.overlaps, [1, 2, 3].map((value) => ({ value, dice: 1 })));
  assert.equal(result.other.kind, "image");
  assert.equal(result.absent.kind, "option");
  const stl = Buffer.from(result.stl, "base64");
  const count = stl.readUInt32LE(80);
  assert.equal(stl.length, 84 + 50 * count);
  // Every edge of the triangles twice, in both directions; the volume by the divergence theorem.
  const edges = new Set();
  let six = 0;
  const [low, high] = [Array(3).fill(Infinity), Array(3).fill(-Infinity)];
  for (let i = 0; i < count; i++) {
    const corner = (k) => [0, 1, 2].map((axis) => stl.readFloatLE(84 + 50 * i + 12 + 12 * k + 4 * axis));
    const p = [0, 1, 2].map(corner);
    p.forEach((a, k) => {
      const edge = `${a}/${p[(k + 1) % 3]}`;
      assert.ok(!edges.has(edge));
      edges.add(edge);
      a.forEach((v, axis) => {
        low[axis] = Math.min(low[axis], v);
        high[axis] = Math.max(high[axis], v);
      });
    });
    const [a, b, c] = p;
    six += a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0]);
  }
  for (const edge of edges) assert.ok(edges.has(edge.split("/").reverse().join("/")));
  const { volume_ml, centroid_mm } = result.statistics[2];
  console.log(`  ${count} triangles, ${(six / 6000).toFixed(2)} mL; ${volume_ml.toFixed(2)} mL of voxels`);
  assert.ok(Math.abs(six / 6000 / volume_ml - 1) < 0.02);
  // Where the label is, in mm.
  centroid_mm.forEach((c, axis) => assert.ok(Math.abs((low[axis] + high[axis]) / 2 - c) < 1.5));
  assert.match(Buffer.from(result.ply, "base64").toString("latin1"), /^ply\nformat binary_little_endian/);
  await context.close();
});
