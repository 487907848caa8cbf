import { beforeEach, describe, expect, it } from "vitest";
import { llmCall } from "../../test/support/llm-event.ts";
import { silentLog } from "../base/log.ts";
import { openStore, type Store } from "./open-store.ts";

let store: Store;
beforeEach(() => {
  store = openStore(":memory:", { log: silentLog });
});

const only = () => store.usage.bySandbox({ sandbox: "web" })["web"]?.[0];

describe("the ledger", () => {
  it("sums what is known", () => {
    store.ledger.recordAll([
      llmCall(),
      llmCall({ id: "evt_2", response_id: "resp_2", streaming: true, timestamp: "2026-11-20T11:00:00.000Z" }),
    ]);
    expect(store.usage.bySandbox({ sandbox: "web" })).toEqual({
      web: [
        {
          provider: "openai",
          model: "gpt-5",
          request_count: 2,
          streaming_count: 1,
          error_count: 0,
          unmetered_requests: 0,
          unpriced_requests: 0,
          total_input_tokens: 200,
          total_output_tokens: 40,
          total_tokens: 240,
          cache_read_tokens: 80,
          cache_write_tokens: 0,
          reasoning_tokens: 10,
          cost_usd: 0.0025,
          last_request: "2026-11-20T11:00:00.000Z",
        },
      ],
    });
  });

  it("books an event once, however often it is reported", () => {
    expect(store.ledger.recordAll([llmCall(), llmCall()])).toBe(1);
    expect(store.ledger.recordAll([llmCall()])).toBe(0);
    expect(only()).toMatchObject({ request_count: 1, total_tokens: 120 });
  });

  it("counts a fetched response once: the second sight is a call, and neither unmetered nor unpriced", () => {
    const fetched = { operation: "fetch_response", model: "gpt-5" } as const;
    store.ledger.recordAll([
      llmCall(fetched),
      llmCall({ ...fetched, id: "evt_2" }),
      llmCall({ ...fetched, id: "evt_3", provider: "azure" }),
    ]);
    const [azure, openai] = store.usage.bySandbox({ sandbox: "web" })["web"] ?? [];
    expect(openai).toMatchObject({ request_count: 2, total_tokens: 120, cost_usd: 0.00125, unmetered_requests: 0, unpriced_requests: 0 });
    expect(azure).toMatchObject({ request_count: 1, total_tokens: 120 });
  });

  it.each([
    ["the call first", ["responses", "fetch_response"]],
    ["the fetch first", ["fetch_response", "responses"]],
    ["a batch polled twice", ["fetch_batch", "fetch_batch"]],
    ["batch results read twice", ["batch_results", "batch_results"]],
  ])("counts a response that was made here and fetched once: %s", (_name, [first = "", second = ""]) => {
    store.ledger.recordAll([llmCall({ operation: first }), llmCall({ id: "evt_2", operation: second })]);
    expect(only()).toMatchObject({ request_count: 2, total_tokens: 120, cost_usd: 0.00125 });
  });

  it("never takes two ordinary calls for one, whatever their ids say", () => {
    store.ledger.recordAll([llmCall(), llmCall({ id: "evt_2" }), llmCall({ id: "evt_3", sandbox_uuid: "u1" })]);
    expect(only()).toMatchObject({ request_count: 3, total_tokens: 360, cost_usd: 0.00375 });
  });

  it("counts the first fetch that has usage; nothing is unknown about one before that had none", () => {
    const none = { input_tokens: null, output_tokens: null, total_tokens: null, cost_usd: null } as const;
    const fetched = { operation: "fetch_response" } as const;
    store.ledger.recordAll([llmCall({ ...none, ...fetched }), llmCall({ id: "evt_2", ...fetched }), llmCall({ id: "evt_3", ...fetched })]);
    expect(only()).toMatchObject({ request_count: 3, total_tokens: 120, unmetered_requests: 0, unpriced_requests: 0 });
  });

  it("tells apart the fetches of two sandboxes where ids are small numbers", () => {
    const local = { provider: "ollama", response_id: "resp_42", operation: "fetch_response" } as const;
    store.ledger.recordAll([
      llmCall(local),
      llmCall({ id: "evt_2", ...local }),
      llmCall({ id: "evt_3", ...local, sandbox: "api", sandbox_uuid: "u2" }),
    ]);
    expect(only()).toMatchObject({ request_count: 2, total_tokens: 120 });
    expect(store.usage.bySandbox({ sandbox: "api" })["api"]).toMatchObject([{ request_count: 1, total_tokens: 120 }]);
  });

  it("does not show unknown as zero", () => {
    store.ledger.record(llmCall({ input_tokens: null, output_tokens: null, total_tokens: null, cost_usd: null, usage_source: "none" }));
    expect(only()).toMatchObject({ request_count: 1, unmetered_requests: 1, unpriced_requests: 1, cost_usd: null, total_tokens: 0 });
    store.ledger.record(llmCall({ id: "evt_2", cost_usd: 0, response_id: "resp_2" }));
    expect(only()).toMatchObject({ request_count: 2, unmetered_requests: 1, cost_usd: 0 });
  });

  it("has nothing unknown about a denied call", () => {
    store.ledger.record(
      llmCall({
        input_tokens: null,
        output_tokens: null,
        total_tokens: null,
        cost_usd: null,
        call_outcome: "denied",
        decision: "deny",
        outcome: "deny",
      }),
    );
    expect(only()).toMatchObject({ request_count: 1, error_count: 1, unmetered_requests: 0, unpriced_requests: 0, cost_usd: null });
  });

  it("adds money exactly", () => {
    store.ledger.recordAll(
      Array.from({ length: 10_000 }, (_, index) => llmCall({ id: `evt_${index}`, response_id: `r${index}`, cost_usd: 0.1 })),
    );
    expect(only()?.cost_usd).toBe(1000);
    store.ledger.record(llmCall({ id: "evt_x", response_id: "rx", cost_usd: 1e-9 }));
    expect(only()?.cost_usd).toBe(1000.000000001);
    store.ledger.recordAll([1, 2, 3].map((n) => llmCall({ id: `evt_big${n}`, response_id: `big${n}`, cost_usd: 9_000_000 })));
    expect(only()?.cost_usd).toBeCloseTo(27_001_000, 5);
  });

  it("rolls a batch back whole when one of it cannot be booked", () => {
    expect(() => store.ledger.recordAll([llmCall(), llmCall({ id: "evt_2", timestamp: "nonsense" })])).toThrow();
    expect(only()).toBeUndefined();
    expect(store.ledger.recordAll([llmCall()])).toBe(1);
  });

  it("says how far it is booked", () => {
    expect(store.ledger.newestMs()).toBeUndefined();
    store.ledger.record(llmCall());
    expect(store.ledger.newestMs()).toBe(Date.parse("2026-11-20T10:00:00.000Z"));
  });
});

describe("usage queries", () => {
  const at = (day: number, hour = 10): string => `2026-11-${day}T${hour}:00:00.000Z`;

  beforeEach(() => {
    store.ledger.recordAll([
      llmCall({ id: "e1", response_id: "r1", timestamp: at(18) }),
      llmCall({ id: "e2", response_id: "r2", timestamp: at(19), provider: "anthropic", model: "claude" }),
      llmCall({ id: "e3", response_id: "r3", timestamp: at(20), sandbox: "api", sandbox_uuid: "u2" }),
      llmCall({ id: "e4", response_id: "r4", timestamp: at(20, 12), sandbox: "api", sandbox_uuid: "u2", call_outcome: "rate_limited" }),
    ]);
  });

  it.each([
    ["model", { claude: 1, "gpt-5": 3 }],
    ["provider", { anthropic: 1, openai: 3 }],
    ["sandbox", { api: 2, web: 2 }],
    ["day", { "2026-11-18": 1, "2026-11-19": 1, "2026-11-20": 2 }],
  ] as const)("groups by %s", (by, expected) => {
    const rows = store.usage.grouped({ by });
    expect(Object.fromEntries(rows.map((row) => [row.key, row.request_count]))).toEqual(expected);
    expect(rows.reduce((sum, row) => sum + row.total_tokens, 0)).toBe(480);
  });

  it("says * where several meet", () => {
    expect(store.usage.grouped({ by: "sandbox" })).toMatchObject([
      { key: "api", provider: "openai", model: "gpt-5", error_count: 1 },
      { key: "web", provider: "*", model: "*" },
    ]);
  });

  it("begins at a moment, from single calls or, where they are forgotten, from days", () => {
    const since = Date.parse(at(20, 11));
    expect(store.usage.grouped({ by: "day", sinceMs: since })).toMatchObject([{ key: "2026-11-20", request_count: 1 }]);
    expect(store.usage.bySandbox({ sinceMs: since })).toEqual({ api: [expect.objectContaining({ request_count: 1, total_tokens: 120 })] });
    expect(store.ledger.pruneCalls(Date.parse(at(20, 13)))).toBe(4);
    expect(store.usage.grouped({ by: "day", sinceMs: since })).toMatchObject([{ key: "2026-11-20", request_count: 2 }]);
    expect(store.usage.events({})).toEqual([]);
    // what was pruned cannot be told apart from new, so it stays out
    expect(store.ledger.recordAll([llmCall({ id: "e4", timestamp: at(20, 12) })])).toBe(0);
    expect(store.usage.grouped({ by: "day" })).toHaveLength(3);
  });

  it("gives events, oldest first, the newest when there are too many", () => {
    expect(store.usage.events({}).map((event) => event.id)).toEqual(["e1", "e2", "e3", "e4"]);
    expect(store.usage.events({ limit: 2 }).map((event) => event.id)).toEqual(["e3", "e4"]);
    expect(store.usage.events({ sandbox: "web", sinceMs: Date.parse(at(19)) }).map((event) => event.id)).toEqual(["e2"]);
    expect(store.usage.events({ sandbox: "web" })[0]).toEqual(llmCall({ id: "e1", response_id: "r1", timestamp: at(18) }));
  });

  it("has an empty list for a name that nobody knows", () => {
    expect(store.usage.bySandbox({ sandbox: "nobody" })).toEqual({ nobody: [] });
    expect(store.usage.grouped({ by: "model", sandbox: "nobody" })).toEqual([]);
    expect(store.usage.events({ sandbox: "nobody" })).toEqual([]);
  });

  it("means a name's newest sandbox, and all of them when asked", () => {
    store.sandboxes.insert({ uuid: "u1", name: "web", labels: {}, state: "running", createdAt: 1 });
    store.sandboxes.remove("u1");
    store.sandboxes.insert({ uuid: "u9", name: "web", labels: {}, state: "running", createdAt: 2 });
    expect(store.usage.bySandbox({ sandbox: "web" })).toEqual({ web: [] });
    expect(store.usage.bySandbox({ sandbox: "web", all: true })["web"]).toHaveLength(2);
    expect(store.usage.uuidsOf("web", { all: true })).toEqual(["u9", "u1"]);
    expect(Object.keys(store.usage.bySandbox({}))).toEqual(["api"]);
    expect(Object.keys(store.usage.bySandbox({ all: true }))).toEqual(["api", "web"]);
  });

  it("clears a sandbox, and what is booked again from before stays away", () => {
    store.ledger.clear(store.usage.uuidsOf("web"), Date.parse(at(20)));
    expect(store.usage.bySandbox({ sandbox: "web" })).toEqual({ web: [] });
    expect(store.ledger.recordAll([llmCall({ id: "e1", timestamp: at(18) })])).toBe(0);
    expect(store.ledger.recordAll([llmCall({ id: "e5", response_id: "r5", timestamp: at(21) })])).toBe(1);
    expect(store.usage.bySandbox({})["api"]).toHaveLength(1);
  });
});
