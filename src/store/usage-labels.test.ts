import { expect, test } from "vitest";
import { llmCall } from "../../test/support/llm-event.ts";
import { silentLog } from "../base/log.ts";
import { openStore } from "./open-store.ts";

test("usage by label: a call counts under each of its labels, one without any under none", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  store.ledger.recordAll([
    llmCall({ id: "evt_1", labels: { team: "red", "odd.key": "it's" } }),
    llmCall({ id: "evt_2", labels: { team: "red" }, model: "gpt-5-mini" }),
    llmCall({ id: "evt_3", labels: { team: "blue" }, timestamp: "2026-11-01T00:00:00.000Z" }),
    llmCall({ id: "evt_4" }),
  ]);
  const rows = (sinceMs?: number) =>
    store.usage
      .grouped({ by: "label", ...(sinceMs === undefined ? {} : { sinceMs }) })
      .map((row) => [row.key, row.model, row.request_count, row.total_tokens]);
  expect(rows()).toEqual([
    ["odd.key=it's", "gpt-5", 1, 120],
    ["team=blue", "gpt-5", 1, 120],
    ["team=red", "*", 2, 240],
  ]);
  expect(rows(Date.parse("2026-11-10T00:00:00Z")).map(([key]) => key)).toEqual(["odd.key=it's", "team=red"]);
});
