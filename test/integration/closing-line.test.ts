import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../support/temp.ts";

/** The last line of a test run is what others count by; it has to be right when things go wrong. */

const root = join(import.meta.dirname, "../..");

async function lastLines(files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  await using dir = await tempDir();
  const vitest = join(root, "node_modules/vitest");
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(dir.path, name), text.replaceAll('"vitest"', JSON.stringify(`${vitest}/dist/index.js`)));
  }
  const reporter = join(root, "test/support/closing-line-reporter.ts");
  const args = [join(vitest, "vitest.mjs"), "run", "--root", dir.path, "--reporter", reporter, "--maxWorkers", "1"];
  const env = { PATH: process.env["PATH"], HOME: dir.path, CI: "true" };
  const result = spawnSync(process.execPath, args, { cwd: dir.path, encoding: "utf8", timeout: 60_000, env });
  return result.stdout.trim().split("\n");
}

test("counts, and gives the reason of every skip", async () => {
  const lines = await lastLines({
    "a.test.ts": `import { describe, expect, test } from "vitest";
      test("passes", () => expect(1).toBe(1));
      test("fails", () => expect(1).toBe(2));
      test("lacks", { skip: true, meta: { skipReason: "needs a moon" } }, () => undefined);
      describe("group", { skip: true, meta: { skipReason: "needs a sun" } }, () => { test("one", () => undefined); test("two", () => undefined); });
      test("says so itself", ({ skip }) => skip("not on a Sunday"));
      test.todo("later");`,
  });
  expect(lines.at(-1)).toBe("1 passed, 1 failed, 5 skipped");
  expect(lines).toContain("FAILED a.test.ts > fails: expected 1 to be 2 // Object.is equality; got 1");
  expect(lines).toContain("skipped a.test.ts > lacks (needs a moon)");
  expect(lines).toContain("skipped a.test.ts > group > two (needs a sun)");
  expect(lines).toContain("skipped a.test.ts > says so itself (not on a Sunday)");
  expect(lines).toContain("skipped a.test.ts > later (still to be written)");
});

test("what fails outside of a test counts as failed", async () => {
  const lines = await lastLines({
    "passes.test.ts": `import { test } from "vitest"; test("passes", () => undefined);`,
    "import.test.ts": `import "./missing.ts";`,
    "hook.test.ts": `import { beforeAll, test } from "vitest"; beforeAll(() => { throw new Error("no"); }); test("never ran", () => undefined);`,
    "late.test.ts": `import { test } from "vitest";
      test("passes too early", async () => { void Promise.reject(new Error("nobody waits")); await new Promise((done) => setTimeout(done, 50)); });`,
  });
  const [, passed, failed] = /^(\d+) passed, (\d+) failed, \d+ skipped$/.exec(lines.at(-1) ?? "") ?? [];
  expect(Number(passed)).toBeLessThanOrEqual(2);
  expect(Number(failed)).toBeGreaterThanOrEqual(3);
  expect(lines.join("\n")).toMatch(/FAILED outside of a test: import\.test\.ts/);
  expect(lines.join("\n")).toMatch(/FAILED outside of a test: unhandled: nobody waits/);
});

test("a worker that dies leaves a failure", async () => {
  const lines = await lastLines({
    "dies.test.ts": `import { test } from "vitest"; test("dies", () => { process.kill(process.pid, "SIGKILL"); return new Promise(() => undefined); });`,
  });
  expect(lines.at(-1)).toMatch(/^0 passed, [1-9]\d* failed, \d+ skipped$/);
});

test("a run without tests is a failure", async () => {
  expect((await lastLines({ "none.test.ts": "" })).at(-1)).toMatch(/^0 passed, 1 failed, 0 skipped$/);
});
