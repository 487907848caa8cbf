import { join } from "node:path";
import { expect, test } from "vitest";
import { readSources } from "./support/source-imports.ts";

const src = join(import.meta.dirname, "../src");
const files = new Map(readSources(src).map((file) => [file.path, file]));

/** What `agentkernel run` loads before its sandbox runs: these, and whatever they import statically. */
const START = [
  "cli/main.ts",
  "cli/commands/run.ts",
  "app/create-app.ts",
  "app/caller.ts",
  "egress/gateway.ts",
  "providers/table.ts",
  "usage/genai-prices.ts",
];

/** Packages that a start may load; every other one takes longer to load than a sandbox takes to run. */
const LIGHT = ["commander"];

test("a start loads no heavy package", () => {
  const seen = new Map(START.map((path): [string, string] => [path, path]));
  const heavy: string[] = [];
  for (const [path, way] of seen) {
    for (const { specifier, target, isLazy } of files.get(path)?.imports ?? []) {
      if (isLazy) continue;
      if (target !== undefined) {
        if (!seen.has(target)) seen.set(target, `${way} → ${target}`);
      } else if (!specifier.startsWith("node:") && !LIGHT.includes(specifier)) heavy.push(`${way} → ${specifier}`);
    }
  }
  expect(seen.size).toBeGreaterThan(100);
  expect(heavy).toEqual([]);
});
