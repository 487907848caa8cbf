import { expect, test, vi } from "vitest";
import { silentLog } from "../../base/log.ts";
import { CallPruner } from "./call-pruner.ts";

const clock = { now: () => 10_000, monotonic: () => 0 };

test("forgets in batches until there is nothing left", async () => {
  const left = [1_000, 1_000, 7, 0];
  const asked: number[] = [];
  const ledger = {
    pruneCalls: (before: number): number => {
      asked.push(before);
      return left.shift() ?? 0;
    },
  };
  await using pruner = new CallPruner({ ledger, keepMs: () => 4_000, clock, log: silentLog });
  expect(await pruner.prune()).toBe(2_007);
  expect(asked).toEqual([6_000, 6_000, 6_000, 6_000]);
});

test("works soon after the start and once an hour, and stops between two batches when it is disposed", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout"] });
  try {
    let batches = 0;
    const ledger = { pruneCalls: () => (batches += 1) };
    const pruner = new CallPruner({ ledger, keepMs: () => 1, clock, log: silentLog });
    expect(batches).toBe(0);
    vi.advanceTimersByTime(30_000);
    expect(batches).toBe(1);
    await pruner[Symbol.asyncDispose]();
    const done = batches;
    vi.advanceTimersByTime(7_200_000);
    expect(batches).toBe(done);
  } finally {
    vi.useRealTimers();
  }
});
