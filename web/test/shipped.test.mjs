// The model that comes with the page, as visitors run it: the labels are those of the command.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import {
  data, differing, download, ended, nifti, open, program, started, test, volume, web,
} from "./harness.mjs";

const long = !!process.env.AMAES_LONG;
const SAMPLE = join(web, "dist/models/brain-tissue/sample.nii.gz");
const T1 = join(data, "mri/t1_crop.nii.gz");

const { server, browser } = await started();
const folder = mkdtempSync(join(tmpdir(), "amaes-shipped-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** The middle of the sample: one window of the network. */
function middle() {
  const [edge, path] = [96, join(folder, "middle.nii")];
  const { shape, voxels } = nifti(readFileSync(SAMPLE));
  const [x0, y0, z0] = shape.map((n) => (n - edge) >> 1);
  const at = (x, y, z) => voxels[x0 + x + shape[0] * (y0 + y + shape[1] * (z0 + z))];
  writeFileSync(path, volume([edge, edge, edge], 1, at));
  return path;
}

const CASES = [
  { backend: "cpu", image: SAMPLE, labels: 6 },
  { backend: "webgpu", image: middle(), labels: 4 },
  { backend: "cpu", image: T1, labels: 6 },
  // Many minutes each on the software adapter.
  { backend: "webgpu", image: SAMPLE, labels: 6, long: true },
  { backend: "webgpu", image: T1, labels: 6, long: true },
];
/** Share of the voxels that may differ. */
const MOST = 1e-4;

/** What the command makes of an image. */
function native(image) {
  const output = join(folder, `labels-${basename(image)}`);
  if (!existsSync(output)) {
    const args = ["segment", "--model", "brain-tissue", "--keep", "largest", "--quiet"];
    execFileSync(program, [...args, "--input", image, "--output", output], { stdio: "inherit" });
  }
  return nifti(readFileSync(output));
}

for (const { backend, image, labels, long: needsLong } of CASES) {
  const absent = !existsSync(image) && `${image} is not there`;
  const skip = absent || (needsLong && !long ? "only with AMAES_LONG" : false);
  const name = basename(image);
  test(`brain-tissue on ${backend}, ${name}`, { skip, timeout: (needsLong ? 120 : 20) * 60_000 }, async () => {
    const { context, page, errors } = await open(browser, `${server.url}/?backend=${backend}`);
    // The page opens with it.
    assert.equal(await page.locator("#models input").first().isChecked(), true);
    assert.match(await page.locator(".card").first().innerText(), /Brain tissue/);
    if (image === SAMPLE) {
      await page.click("#sample");
    } else {
      await page.setInputFiles("#image-file", image);
      await page.click("#run");
    }
    assert.equal(await ended(page, 120 * 60_000), null);
    const ours = nifti((await download(page, "#save-native")).bytes);
    const theirs = native(image);
    const count = differing(ours.voxels, theirs.voxels);
    console.log(`  ${count} of ${ours.voxels.length} voxels differ. ${await page.innerText("#facts")}`);
    assert.deepEqual(ours.shape, theirs.shape);
    assert.deepEqual(ours.affine, theirs.affine);
    assert.ok(count <= MOST * ours.voxels.length);
    const found = new Set(ours.voxels.filter((v) => v > 0));
    assert.ok(found.size >= labels, [...found].join(" "));
    // For a look at it.
    const picture = process.env.AMAES_SCREENSHOT;
    if (picture && image === T1 && backend === "cpu") await page.screenshot({ path: picture });
    assert.deepEqual(errors, []);
    await context.close();
  });
}
