// The npm package: packed, installed into another project, type-checked, bundled and run.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { head, launch, serve, test, tissues, web } from "./harness.mjs";

let folder;
let browser;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "amaes-consumer-"));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

const MAIN = `
import { Amaes, AmaesError, type Segmentation, statisticsCsv } from "amaes";

async function run(): Promise<string> {
  const amaes: Amaes = await Amaes.create({ backend: "cpu" });
  const files = ["tissues.safetensors", "tissues.json", "head.nii"];
  const [weights, spec, image] = await Promise.all(
    files.map(async (name) => new File([await (await fetch(name)).arrayBuffer()], name)),
  );
  if (!weights || !spec || !image) throw new Error("no files");
  const model = await amaes.loadModel([weights, spec]);
  const result: Segmentation = await model.segment(image, {
    cleaning: { keep: "largest" },
    onProgress: ({ phase, fraction }) => console.log(phase, fraction),
  });
  const wrong: unknown = await amaes.surface(result.native, 77).catch((error: unknown) => error);
  if (!(wrong instanceof AmaesError) || wrong.kind !== "option") throw new Error("no typed error");
  amaes.dispose();
  return statisticsCsv(result.statistics);
}

const out = document.createElement("pre");
run().then(
  (text) => (out.textContent = text),
  (error) => (out.textContent = String(error)),
).finally(() => document.body.append(out));
`;

/** Types that must be refused. */
const WRONG = `
import { Amaes } from "amaes";
void Amaes.create({ backend: "gpu" });
`;

test("another project installs, checks, bundles and runs the package", async () => {
  const npm = (args, cwd) => execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  const packed = JSON.parse(npm(["pack", "--json", "--pack-destination", folder], web))[0];
  const names = packed.files.map((file) => file.path);
  for (const name of ["package.json", "README.md", "LICENSE-MIT", "lib/amaes.js", "lib/amaes.d.ts",
    "lib/worker.js", "pkg/cpu/amaes_wasm_bg.wasm",
    "pkg/cpu-relaxed/amaes_wasm_bg.wasm", "pkg/webgpu/amaes_wasm_bg.wasm"]) {
    assert.ok(names.includes(name), name);
  }
  assert.ok(!names.some((name) => /^(src|test|dist|node_modules)\//.test(name)));
  console.log(`  ${packed.filename}: ${(packed.size / 2 ** 20).toFixed(1)} MiB`);

  const project = join(folder, "project");
  mkdirSync(join(project, "public"), { recursive: true });
  const manifest = { name: "consumer", private: true, type: "module" };
  writeFileSync(join(project, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(project, "main.ts"), MAIN);
  writeFileSync(join(project, "wrong.ts"), WRONG);
  writeFileSync(join(project, "index.html"), '<!doctype html><script type="module" src="/main.ts"></script>');
  const compilerOptions = {
    target: "ES2022", module: "ESNext", moduleResolution: "bundler", strict: true, noEmit: true,
    lib: ["ES2022", "DOM", "DOM.Iterable", "DOM.AsyncIterable"], types: [],
  };
  for (const file of ["main", "wrong"]) {
    const config = { compilerOptions, files: [`${file}.ts`] };
    writeFileSync(join(project, `tsconfig.${file}.json`), JSON.stringify(config));
  }
  const { weights, spec } = tissues();
  writeFileSync(join(project, "public/tissues.safetensors"), weights);
  writeFileSync(join(project, "public/tissues.json"), spec);
  writeFileSync(join(project, "public/head.nii"), head());
  npm(["install", "--offline", "--no-audit", "--no-fund", join(folder, packed.filename)], project);

  const tool = (path, ...args) =>
    execFileSync(process.execPath, [join(web, "node_modules", path), ...args], { cwd: project, encoding: "utf8" });
  tool("typescript/bin/tsc", "-p", "tsconfig.main.json");
  assert.throws(() => tool("typescript/bin/tsc", "-p", "tsconfig.wrong.json"), (error) => /"gpu"/.test(error.stdout));
  tool("vite/bin/vite.js", "build", "--logLevel", "warn");

  const server = await serve(join(project, "dist"));
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    const text = await page.locator("pre").innerText({ timeout: 60_000 });
    assert.match(text, /^value,name,voxels/);
    const voxels = text.trim().split("\n").slice(1).map((line) => Number(line.split(",")[2]));
    assert.equal(voxels.length, 3);
    assert.ok(voxels.every((n) => n > 300), text);
    await page.close();
  } finally {
    server.stop();
  }
  assert.match(readFileSync(join(project, "node_modules/amaes/lib/amaes.d.ts"), "utf8"), /class AmaesModel/);
});
