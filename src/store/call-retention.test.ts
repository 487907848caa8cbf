import { expect, test } from "vitest";
import { llmCall } from "../../test/support/llm-event.ts";
import { silentLog } from "../base/log.ts";
import { openStore, type Store } from "./open-store.ts";

const at = (day: number, second = 0): string => `2026-11-${String(day).padStart(2, "0")}T10:00:${String(second).padStart(2, "0")}.000Z`;
const start = (day: number): number => Date.parse(`2026-11-${String(day).padStart(2, "0")}T00:00:00.000Z`);

/** Ten calls on each of ten days, of two teams. */
function filled(): Store {
  const store = openStore(":memory:", { log: silentLog });
  for (let day = 1; day <= 10; day += 1)
    store.ledger.recordAll(
      Array.from({ length: 10 }, (_, n) =>
        llmCall({
          id: `evt_${day}_${n}`,
          response_id: `resp_${day}_${n}`,
          timestamp: at(day, n),
          labels: { team: n % 2 === 0 ? "red" : "blue" },
        }),
      ),
    );
  return store;
}

test("calls are forgotten in batches, the oldest first, and every sum stays what it was", async () => {
  await using store = filled();
  const sums = () =>
    (["model", "provider", "sandbox", "day", "label"] as const).map((by) => [
      by,
      store.usage.grouped({ by }),
      store.usage.grouped({ by, sinceMs: start(3) }),
      store.usage.grouped({ by, sinceMs: start(8) }),
    ]);
  const before = sums();
  const batches: number[] = [];
  for (let forgotten = 1; forgotten > 0; ) batches.push((forgotten = store.ledger.pruneCalls(start(6), 20)));
  expect(batches.at(-1)).toBe(0);
  expect(Math.max(...batches)).toBeLessThanOrEqual(21);
  expect(batches.reduce((sum, one) => sum + one, 0)).toBe(50);
  expect(store.usage.events({}).map(({ timestamp }) => timestamp)[0]).toBe(at(6));
  expect(sums()).toEqual(before);
  // and again, by day and label, when more of the same day go later
  expect(store.ledger.pruneCalls(Date.parse(at(6, 5)), 100)).toBe(5);
  expect(sums()).toEqual(before);
});

test("what was forgotten is not booked again, and what is cleared takes its labels with it", async () => {
  await using store = filled();
  store.ledger.pruneCalls(start(6), 1_000);
  expect(store.ledger.recordAll([llmCall({ id: "evt_1_0", timestamp: at(1), labels: { team: "red" } })])).toBe(0);
  const total = () => store.usage.grouped({ by: "label" }).map(({ key, request_count }) => [key, request_count]);
  expect(total()).toEqual([
    ["team=blue", 50],
    ["team=red", 50],
  ]);
  store.ledger.clear(store.usage.uuidsOf("web", { all: true }), Date.now());
  expect(total()).toEqual([]);
});

test("many calls of one millisecond go together", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  store.ledger.recordAll(Array.from({ length: 50 }, (_, n) => llmCall({ id: `evt_${n}`, response_id: `resp_${n}`, timestamp: at(1) })));
  expect(store.ledger.pruneCalls(start(9), 10)).toBe(50);
  expect(store.ledger.pruneCalls(start(9), 10)).toBe(0);
});

test("a clock that was years ahead for a moment costs no later call", async () => {
  await using store = filled();
  expect(store.ledger.pruneCalls(start(10) + 10 * 365 * 86_400_000, 1_000)).toBe(100);
  expect(store.ledger.recordAll([llmCall({ id: "evt_1_0", timestamp: at(1) })])).toBe(0);
  expect(store.ledger.recordAll([llmCall({ id: "evt_new", response_id: "resp_new", timestamp: at(11) })])).toBe(1);
  expect(store.usage.events({}).map(({ id }) => id)).toEqual(["evt_new"]);
});

test("V99: 10,000 invented model names are 200 rows at most, and `_other`; nothing is lost from the sums", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  const invented = (n: number, status: number) =>
    llmCall({ id: `evt_${status}_${n}`, response_id: `resp_${status}_${n}`, model: `invented-${n}`, status });
  // refused names take half of the places at most
  for (let n = 0; n < 5_000; n += 500) store.ledger.recordAll(Array.from({ length: 500 }, (_, i) => invented(n + i, 404)));
  expect(store.usage.grouped({ by: "model" })).toHaveLength(101);
  for (let n = 5_000; n < 10_000; n += 500) store.ledger.recordAll(Array.from({ length: 500 }, (_, i) => invented(n + i, 200)));
  const rows = store.usage.grouped({ by: "model" });
  expect(rows).toHaveLength(201);
  expect(rows.find(({ key }) => key === "_other")?.request_count).toBe(10_000 - 200);
  expect(rows.reduce((sum, { request_count }) => sum + request_count, 0)).toBe(10_000);
  expect(store.usage.grouped({ by: "model", sinceMs: 0 })).toHaveLength(201);
  // a name that has its place keeps it, and another sandbox has places of its own
  store.ledger.recordAll([
    invented(0, 200),
    llmCall({ id: "evt_other", response_id: "resp_other", sandbox: "api", sandbox_uuid: "00000000-0000-4000-8000-00000000000b" }),
  ]);
  expect(store.usage.grouped({ by: "model" }).find(({ key }) => key === "invented-0")?.request_count).toBe(2);
  expect(store.usage.bySandbox({ sandbox: "api" })["api"]).toMatchObject([{ model: "gpt-5" }]);
});
