// Puts the models that come with amaes beside the built page.

import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const from = new URL("../../models/", import.meta.url);
const to = new URL("../dist/models/", import.meta.url);
const list = JSON.parse(readFileSync(new URL("index.json", from), "utf8"));
const files = list.flatMap(({ url, sample }) => (sample ? [url, sample] : [url]));
for (const name of ["index.json", ...files]) {
  const target = fileURLToPath(new URL(name, to));
  mkdirSync(dirname(target), { recursive: true });
  cpSync(fileURLToPath(new URL(name, from)), target);
}
