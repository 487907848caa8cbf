import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { openStore } from "../../src/store/open-store.ts";
import { meterKey } from "../../src/usage/budget.ts";
import { testBudget } from "../support/gateway/budget-gate.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { tempDir } from "../support/temp.ts";

const CALLER = fileURLToPath(new URL("../support/budget-caller.ts", import.meta.url));
const METER = meterKey(testBudget("requests", 10));

afterAll(() => expectNoChildren(/esbuild|vitest/));

function start(file: string, calls: number, mode: "end" | "hold") {
  const child = spawn(process.execPath, [CALLER, file, String(calls), "10", mode], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const decided = new Promise<{ readonly passed: number; readonly denied: number }>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      const [, passed, denied] = /passed (\d+) denied (\d+)/.exec(out) ?? [];
      if (passed !== undefined) resolve({ passed: Number(passed), denied: Number(denied) });
    });
    child.once("close", () => reject(new Error(`the process ended before all was decided: ${errors}`)));
  });
  decided.catch(() => undefined);
  return { child, decided, closed: once(child, "close") };
}

function taken(file: string) {
  const store = openStore(file, { log: silentLog });
  const { used, reserved } = store.budgets.taken(METER, 0);
  return store[Symbol.asyncDispose]().then(() => [used, reserved]);
}

test("100 parallel calls of two processes against a budget that fits 10: exactly 10 pass", { timeout: 60_000 }, async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "state.db");
  const callers = [start(file, 50, "end"), start(file, 50, "end")];
  const results = await Promise.all(callers.map(({ decided }) => decided));
  await Promise.all(callers.map(({ closed }) => closed));
  expect(results.reduce((sum, { passed }) => sum + passed, 0)).toBe(10);
  expect(results.reduce((sum, { denied }) => sum + denied, 0)).toBe(90);
  expect(await taken(file)).toEqual([10n, 0n]);
});

test("V101: a budget survives kill -9 and a new start: what a dead process had reserved is used", { timeout: 60_000 }, async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "state.db");
  const dead = start(file, 7, "hold");
  expect(await dead.decided).toEqual({ passed: 7, denied: 0 });
  dead.child.kill("SIGKILL");
  await dead.closed;
  expect(await taken(file)).toEqual([0n, 7n]);
  const next = start(file, 20, "end");
  expect(await next.decided).toEqual({ passed: 3, denied: 17 });
  await next.closed;
  expect(await taken(file)).toEqual([10n, 0n]);
  const last = start(file, 5, "end");
  expect(await last.decided).toEqual({ passed: 0, denied: 5 });
  await last.closed;
});
