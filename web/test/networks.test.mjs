// Networks against what PyTorch and MONAI recorded in `tests/data`: on the CPU and on WebGPU.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { blank, started, test, web, writeSafetensors } from "./harness.mjs";

const DATA = join(web, "../tests/data");
const recorded = (name) => JSON.parse(readFileSync(join(DATA, name), "utf8"));
const TOLERANCE = 1e-4;
const long = !!process.env.AMAES_LONG;

const { server, browser } = await started();

/** Numbers in [-1, 1) from a hash of 32 bits: `draw` of `tests/reference/decoders.py`. */
function draw(tensor, count) {
  const first = Math.imul(tensor, 40503);
  return new Float64Array(count).map((_, n) => {
    let h = (Math.imul(n, 2654435761) + first) >>> 0;
    h = Math.imul(h ^ (h >>> 16), 2246822519) >>> 0;
    h = Math.imul(h ^ (h >>> 13), 3266489917) >>> 0;
    return ((h ^ (h >>> 16)) >>> 0) / 2 ** 31 - 1;
  });
}

const volumeOf = (shape) => shape.reduce((a, b) => a * b);

/** `image` of the scripts in `tests/reference`. */
const image = (tensor, shape) => Float32Array.from(draw(tensor, volumeOf(shape)), (v) => 0.5 * v + 0.5);

/** `values` of `tests/reference/swin.py`. */
function parameter(name, shape) {
  const [norm, weight] = [name.includes(".norm"), name.endsWith("weight")];
  const count = volumeOf(shape);
  const scale = weight && !norm ? Math.sqrt(shape[0] / count) : 0.1;
  const offset = weight && norm ? 1 : 0;
  const tensor = Buffer.from(name).reduce((a, b) => a + b);
  return Float32Array.from(draw(tensor, count), (v) => v * scale + offset);
}

/** The output of a network, from the path or the bytes of its weights, for the drawn image. */
async function forward(backend, name, weights, shape) {
  const files = { [name]: weights, "image.f32": image(1, shape).buffer };
  const { context, page } = await blank(browser, server.url, (name) => files[name]);
  const { out, seconds, adapter } = await page.evaluate(
    async ({ backend, name, shape }) => {
      const amaes = await Amaes.create({ backend });
      const model = await amaes.loadModel([await file(name)]);
      const values = new Float32Array(await (await file("image.f32")).arrayBuffer());
      const start = performance.now();
      const out = await model.forward(values, shape);
      const seconds = (performance.now() - start) / 1000;
      const { adapter } = amaes.device;
      amaes.dispose();
      return { out: base64(new Uint8Array(out.buffer, out.byteOffset, out.byteLength)), seconds, adapter };
    },
    { backend, name, shape },
  );
  await context.close();
  console.log(`  ${name}: ${seconds.toFixed(1)} s on ${adapter}`);
  return new Float32Array(Uint8Array.from(Buffer.from(out, "base64")).buffer);
}

/** Compares the values of the output that `sample` of `tests/reference/decoders.py` took. */
function assertSampled(out, expected, name) {
  expected.forEach((value, i) => {
    const found = out[(i * 7919) % out.length];
    assert.ok(Math.abs(found - value) <= TOLERANCE * (0.1 + Math.abs(value)), `${name}: ${found}, ${value}`);
  });
}

for (const backend of ["cpu", "webgpu"]) {
  test(`residual and strided networks on ${backend} give PyTorch's outputs`, async () => {
    for (const [name, size, expected] of [
      ["resenc_nnssl.pth", [64, 64, 64], recorded("resenc.json").checkpoint.output],
      ["strided.pth", [36, 30, 32], recorded("strided.json").drawn.output],
    ]) {
      const out = await forward(backend, name, join(DATA, "weights", name), [1, 1, ...size]);
      assertSampled(out, expected, name);
    }
  });
}

/** Cases of `tests/reference/swin.py`: one channel of 64^3 voxels. A software adapter is slow. */
const SWIN = [
  { name: "12 cube", backend: "cpu" },
  { name: "12 v2 cube", backend: "cpu" },
  { name: "12 cube", backend: "webgpu", needsLong: true },
  { name: "12 v2 cube", backend: "webgpu", needsLong: true },
];

for (const { name, backend, needsLong } of SWIN) {
  const skip = needsLong && !long ? "only with AMAES_LONG" : false;
  test(`SwinUNETR, case "${name}", on ${backend} gives MONAI's outputs`, { skip }, async () => {
    const { cases } = recorded("swin.json");
    const { in_channels, size, outputs, loss, gradients } = cases.find((c) => c.name === name);
    const tensors = Object.entries(gradients)
      .filter(([name]) => name !== "input")
      .map(([name, { shape }]) => [name, [shape, parameter(name, shape)]]);
    const weights = writeSafetensors(Object.fromEntries(tensors));
    const out = await forward(backend, "swin.safetensors", weights, [1, in_channels, ...size]);
    const [{ shape, values }] = outputs;
    assert.equal(out.length, volumeOf(shape));
    assertSampled(out, values, name);
    // Of every voxel.
    const target = image(2, shape);
    const squares = out.reduce((sum, v, i) => sum + (v - target[i]) ** 2, 0);
    const found = squares / out.length;
    assert.ok(Math.abs(found - loss) <= TOLERANCE * loss, `${name}: loss ${found}, not ${loss}`);
  });
}
