// Volumes of every kind: their labels open in register with them, checked with nibabel.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { blank, started, test, tissues, web } from "./harness.mjs";

const python = process.env.AMAES_PYTHON;
const missing = python ? false : "AMAES_PYTHON names no Python with nibabel";
const script = join(web, "test/volumes.py");

const folder = mkdtempSync(join(tmpdir(), "amaes-volumes-"));
const { server, browser } = await started();
after(() => rmSync(folder, { recursive: true, force: true }));

test("labels lie where their images do, whatever the grid and type", { skip: missing }, async () => {
  execFileSync(python, [script, "make", folder]);
  const names = readdirSync(folder).map((name) => name.replace(".nii.gz", ""));
  const { weights, spec } = tissues();
  writeFileSync(join(folder, "tissues.safetensors"), weights);
  writeFileSync(join(folder, "tissues.json"), spec);
  const { context, page } = await blank(browser, server.url, (name) => {
    const path = join(folder, name);
    return existsSync(path) ? path : undefined;
  });
  assert.equal(names.length, 7);
  for (const name of names) {
    const result = await page.evaluate(async (name) => {
      globalThis.amaes ??= await Amaes.create({ backend: "cpu" });
      globalThis.model ??= await amaes.loadModel([await file("tissues.safetensors"), await file("tissues.json")]);
      // As a stream: the file is never whole in memory.
      const { body } = await fetch(`/data/${name}.nii.gz`);
      const { native, timings, memory } = await model.segment(body);
      return { native: base64(native), timings, memory };
    }, name);
    writeFileSync(join(folder, `${name}.labels.nii.gz`), Buffer.from(result.native, "base64"));
    const seconds = Object.values(result.timings).reduce((a, b) => a + b);
    console.log(`  ${name}: ${seconds.toFixed(1)} s, ${Math.ceil(result.memory.wasm / 2 ** 20)} MiB`);
  }
  const report = JSON.parse(execFileSync(python, [script, "check", folder], { encoding: "utf8" }));
  assert.equal(report.big_endian.byte_order, ">");
  for (const [name, { parts }] of Object.entries(report)) {
    const worst = Math.min(...parts.map(({ dice }) => dice));
    const far = Math.max(...parts.map(({ shift_mm }) => shift_mm));
    console.log(`  ${name}: Dice ${worst.toFixed(3)}, ${far.toFixed(2)} mm apart`);
    assert.ok(worst > 0.93, `${name}: ${JSON.stringify(parts)}`);
    assert.ok(far < 0.25, `${name}: ${JSON.stringify(parts)}`);
  }
  await context.close();
});
