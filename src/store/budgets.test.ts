import { expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import type { Claim, Settlement } from "./budgets.ts";
import { openStore } from "./open-store.ts";

const claim = (amount: bigint, more: Partial<Claim> = {}): Claim => ({
  meter: "m",
  bucket: 0,
  since: 0,
  amount,
  limit: 100n,
  isHard: true,
  isLasting: true,
  ...more,
});
const settlement = (amount: bigint, more: Partial<Settlement> = {}): Settlement => ({
  meter: "m",
  bucket: 0,
  since: 0,
  amount,
  period: 0,
  levelOf: (used) => (used >= 100n ? 100 : used >= 50n ? 50 : 0),
  ...more,
});

test("what is reserved is gone for others until it is settled", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  const { budgets } = store;
  expect(budgets.reserve("a", [claim(60n)], 1)).toEqual({ isReserved: true, results: [{ used: 0n, reserved: 0n, fits: true }] });
  expect(budgets.reserve("b", [claim(41n)], 1)).toEqual({ isReserved: false, results: [{ used: 0n, reserved: 60n, fits: false }] });
  expect(budgets.reserve("c", [claim(40n)], 1).isReserved).toBe(true);
  budgets.settle("a", [settlement(7n)]);
  expect(budgets.taken("m", 0)).toEqual({ used: 7n, reserved: 40n });
  expect(budgets.settle("a", [settlement(7n)])).toEqual([]);
  budgets.settle("c", [settlement(0n)]);
  expect(budgets.taken("m", 0)).toEqual({ used: 7n, reserved: 0n });
});

test("several budgets reserve together or not at all; a soft one lets pass", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  const { budgets } = store;
  const { isReserved } = budgets.reserve("a", [claim(50n), claim(50n, { meter: "small", limit: 10n })], 1);
  expect([isReserved, budgets.taken("m", 0).reserved]).toEqual([false, 0n]);
  expect(budgets.reserve("a", [claim(50n), claim(50n, { meter: "small", limit: 10n, isHard: false })], 1)).toMatchObject({
    isReserved: true,
    results: [{ fits: true }, { fits: false }],
  });
  expect(budgets.taken("small", 0).reserved).toBe(50n);
});

test("a call that needs nothing passes an exhausted budget", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  store.budgets.reserve("a", [claim(100n)], 1);
  expect(store.budgets.reserve("b", [claim(0n)], 1).isReserved).toBe(true);
});

test("a threshold is crossed once in a period, and again in the next", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  const { budgets } = store;
  const use = (id: string, amount: bigint, at: number) => {
    budgets.reserve(id, [claim(amount, { bucket: at, since: at, limit: 1_000n })], at);
    return budgets.settle(id, [settlement(amount, { bucket: at, since: at, period: at })]).map(({ before, level }) => [before, level]);
  };
  expect([use("a", 49n, 1), use("b", 1n, 1), use("c", 10n, 1), use("d", 60n, 1)]).toEqual([[[0, 0]], [[0, 50]], [[50, 50]], [[50, 100]]]);
  expect(use("e", 50n, 2)).toEqual([[0, 50]]);
  // what a window has left behind is forgotten
  expect(budgets.taken("m", 0).used).toBe(50n);
});

test("budgets of the API are kept whole, and removed with what is used of them", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  const { budgets } = store;
  const budget = { scope: "global", unit: "usd", limit: 1, window: "day", on_exceed: "deny" } as const;
  expect([budgets.put("a", budget, 1), budgets.put("a", { ...budget, limit: 2 }, 2)]).toEqual([true, false]);
  expect(budgets.list()).toEqual([{ id: "a", budget: { ...budget, limit: 2 } }]);
  budgets.reserve("x", [claim(5n)], 1);
  budgets.settle("x", [settlement(5n)]);
  expect([budgets.remove("a", "m"), budgets.remove("a", "m"), budgets.taken("m", 0).used]).toEqual([true, false, 0n]);
});

test("sums of nano-dollars beyond 2^53 stay exact", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  const much = 9_007_199_254_740_993n;
  store.budgets.reserve("a", [claim(much, { limit: much })], 1);
  store.budgets.settle("a", [settlement(much)]);
  expect(store.budgets.taken("m", 0).used).toBe(much);
});
