import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";
import type { Results } from "../bench/report.ts";

/** That every figure of the bench can still be measured; what it measures is not judged here, where other tests share the machine. */

const main = join(import.meta.dirname, "../bench/main.ts");

test("the bench measures every section and writes its table", { ...requires("bwrap"), timeout: 240_000 }, async () => {
  await using dir = await tempDir({ prefix: "agentkernel-bench-test-" });
  const { stderr } = await promisify(execFile)(process.execPath, [main, "--quick", "--out", dir.path], { timeout: 220_000 });
  const folder = join(dir.path, "bench/results");
  const [file = ""] = await readdir(folder);
  const results = JSON.parse(await readFile(join(folder, file), "utf8")) as Results;
  expect(results.failures, stderr).toEqual([]);
  expect(results.is_quick).toBe(true);
  const sections = new Set(results.figures.map((figure) => figure.section));
  expect([...sections].toSorted()).toEqual([
    "delivery",
    "event log",
    "event log, kills and tampering",
    "gateway, JSON exchange",
    "gateway, SSE",
    "gateway, large bodies",
    "hooks",
    "sandbox, bubblewrap",
    "server",
    "start",
  ]);
  for (const { name, ours, samples } of results.figures) {
    expect(samples, name).toBeGreaterThan(0);
    expect(
      Object.values(ours).every((value) => Number.isFinite(value)),
      name,
    ).toBe(true);
  }
  const page = await readFile(join(dir.path, "docs/benchmarks.md"), "utf8");
  for (const { name } of results.figures) expect(page).toContain(name);
});
