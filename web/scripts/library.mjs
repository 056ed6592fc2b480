// Builds the library of the npm package into lib/: plain modules and their types. Nothing is
// bundled, so that the bundler of the page that uses it finds the worker and the modules.

import { execFileSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = join(dirname(fileURLToPath(import.meta.url)), "..");
const lib = join(web, "lib");
rmSync(lib, { recursive: true, force: true });
const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
const tsc = join(typescript, "bin/tsc");
execFileSync(process.execPath, [tsc, "-p", "tsconfig.lib.json"], { cwd: web, stdio: "inherit" });

for (const name of readdirSync(lib)) {
  const path = join(lib, name);
  const text = readFileSync(path, "utf8");
  // The compiler renames imports, but not the address of the worker; types keep theirs.
  const named = name.endsWith(".d.ts")
    ? text.replace(/(from "\.\/[\w-]+)\.ts"/g, '$1.js"')
    : text.replace('new URL("./worker.ts"', 'new URL("./worker.js"');
  writeFileSync(path, named);
}

for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) {
  copyFileSync(join(web, "..", name), join(web, name));
}
