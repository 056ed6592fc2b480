// A real brain with published weights: the labels are those of the published programs.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { blank, data, differing, nifti, started, test } from "./harness.mjs";

const long = !!process.env.AMAES_LONG;
const MIB = 2 ** 20;
const IMAGE = join(data, "mri/t1_crop.nii.gz");
const FILES = {
  model5_gw_ae: ["model.json", "group1-shard1of1.bin", "colormap.json"],
  model18cls: ["model.json", "model.bin", "colormap.json"],
};
const reference = (model) => join(data, `labels/t1_crop.${model}.nii.gz`);

const { server, browser } = await started();

/** Milliseconds for the cases that take minutes. */
const LONG = 3 * 3600_000;
const CASES = [
  // Minutes each on the software adapter.
  { model: "model5_gw_ae", backend: "webgpu", cap: 128 * MIB, long: true },
  { model: "model5_gw_ae", backend: "webgpu", long: true },
  { model: "model5_gw_ae", backend: "cpu" },
  { model: "model5_gw_ae", backend: "cpu", cap: 128 * MIB },
  { model: "model18cls", backend: "cpu", long: true },
  { model: "model18cls", backend: "webgpu", cap: 128 * MIB, long: true },
];

for (const { model, backend, cap, long: needsLong } of CASES) {
  const absent = [IMAGE, reference(model)].find((path) => !existsSync(path));
  const skip = absent ? `${absent} is not there` : needsLong && !long ? "only with AMAES_LONG" : false;
  const limit = cap ? `, buffers of at most ${cap / MIB} MiB` : "";
  test(`${model} on ${backend}${limit}`, { skip, ...(needsLong ? { timeout: LONG } : {}) }, async () => {
    const { context, page } = await blank(browser, server.url, (name) =>
      name === "t1_crop.nii.gz" ? IMAGE : join(data, "weights/brainchop", name),
    );
    const result = await page.evaluate(
      async ({ model, names, backend, cap }) => {
        const amaes = await Amaes.create({ backend, ...(cap ? { maxBufferBytes: cap } : {}) });
        const files = await Promise.all(names.map((name) => file(`${model}/${name}`)));
        const loaded = await amaes.loadModel(files);
        const { native, timings, memory, statistics } = await loaded.segment(await file("t1_crop.nii.gz"));
        const { adapter } = amaes.device;
        amaes.dispose();
        return { native: base64(native), timings, memory, statistics, adapter };
      },
      { model, names: FILES[model], backend, cap },
    );
    const ours = nifti(Buffer.from(result.native, "base64"));
    const theirs = nifti(readFileSync(reference(model)));
    const image = nifti(readFileSync(IMAGE));
    const count = differing(ours.voxels, theirs.voxels);
    const { wasm, gpu, largestBuffer } = result.memory;
    const mib = (bytes) => `${Math.ceil(bytes / MIB)} MiB`;
    const memory = gpu ? `module ${mib(wasm)}, GPU ${mib(gpu)}, largest buffer ${mib(largestBuffer)}` : mib(wasm);
    console.log(`  ${count} of ${ours.voxels.length} voxels differ; network ${result.timings.network.toFixed(1)} s; ${memory}; ${result.adapter}`);
    assert.deepEqual(ours.shape, image.shape);
    assert.deepEqual(ours.affine, image.affine);
    assert.ok(count <= 20);
    assert.ok(result.statistics.filter(({ voxels }) => voxels > 1000).length >= 2);
    if (backend === "webgpu") assert.ok(largestBuffer > MIB && largestBuffer <= (cap ?? Infinity));
    await context.close();
  });
}
