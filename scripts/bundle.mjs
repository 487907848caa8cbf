/**
 * Joins the emitted program and what it depends on into few files, since a start would otherwise look for, read and link hundreds of
 * modules: `node scripts/bundle.mjs DIST` makes DIST/program/main.cjs, and its parts, from DIST/cli/main.js. The library
 * (DIST/index.js) stays as it was emitted.
 *
 * CommonJS, because an ES module's `import … from "node:http"` reads every export of it, and one of those getters loads Node's whole
 * fetch (40 ms here); `require` reads what is used.
 */
import * as fs from "node:fs";
import { deepStrictEqual } from "node:assert";
import { join, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { rolldown } from "rolldown";

const [dist] = process.argv.slice(2).map((path) => resolve(path));
if (dist === undefined) throw new Error("usage: node scripts/bundle.mjs DIST");
const target = join(dist, "program");

/** A module whose one function gives a constant: the schema's answer is worked out now, not at every start. */
async function evaluated() {
  const place = join(dist, "schema", "config-defaults.js");
  const empty = await (await import(pathToFileURL(place).href)).emptyConfig();
  deepStrictEqual(JSON.parse(JSON.stringify(empty)), empty);
  const code = `export async function emptyConfig() { return ${JSON.stringify(empty)}; }`;
  return { name: "evaluated", load: (id) => (id === place ? code : undefined) };
}

const bundle = await rolldown({
  plugins: [await evaluated()],
  input: { main: join(dist, "cli", "main.js") },
  platform: "node",
  // optional native parts of ws
  external: ["bufferutil", "utf-8-validate"],
  onLog: (level, log) => {
    if (level === "warn" && log.code === "UNRESOLVED_IMPORT") throw new Error(log.message);
  },
});
// flat: what finds files by its own place (base/package-root, demo/stage) counts on two folders below the package
const { output } = await bundle.write({ dir: target, format: "cjs", entryFileNames: "[name].cjs", chunkFileNames: "[name]-[hash].cjs" });
await bundle.close();

/** The folder of the package that a module belongs to. */
function packageOf(module) {
  const marker = `${sep}node_modules${sep}`;
  const at = module.lastIndexOf(marker);
  if (at < 0) return undefined;
  const parts = module.slice(at + marker.length).split(sep);
  return module.slice(0, at + marker.length) + parts.slice(0, parts[0].startsWith("@") ? 2 : 1).join(sep);
}

// a copy of other people's code carries their licence
const packages = new Set(output.flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds.flatMap((id) => packageOf(id) ?? []) : [])));
const notices = [...packages]
  .sort((a, b) => (a < b ? -1 : 1))
  .map((folder) => {
    const { name, version, license } = JSON.parse(fs.readFileSync(join(folder, "package.json"), "utf8"));
    const files = fs.readdirSync(folder).filter((file) => /^(licen[cs]e|notice)/i.test(file));
    const texts = files.map((file) => fs.readFileSync(join(folder, file), "utf8").trim());
    return `${name} ${version} (${license})\n\n${texts.join("\n\n")}\n`;
  });
fs.writeFileSync(join(target, "THIRD-PARTY-LICENSES.txt"), notices.join(`\n${"-".repeat(72)}\n\n`));
