import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UNKNOWN_USAGE, type Usage } from "../schema/usage.ts";
import { CountedResponses } from "./counted-responses.ts";
import { addCall, emptyEntry, foldCalls, type CountedCall } from "./entry.ts";
import { createCostOf } from "./genai-prices.ts";
import { fromNanoUsd, toNanoUsd } from "./nano.ts";

const AT = Date.UTC(2026, 10, 21);
const costOf = createCostOf();
const cost = (provider: Parameters<typeof costOf>[0]["provider"], model: string, usage: Partial<Usage>): bigint | null =>
  costOf({ provider, model, usage: { ...UNKNOWN_USAGE, ...usage }, serviceTier: null, at: AT });

describe("the price of a call", () => {
  it("charges cached input at its own price", () => {
    // gpt-5-mini: 0.25 / 0.025 / 2 dollars a million tokens
    expect(cost("openai", "gpt-5-mini", { input: 1412, cacheRead: 1024, output: 318 })).toBe(758_600n);
    expect(cost("openai", "gpt-5-mini", { input: 1412, output: 318 })).toBe(989_000n);
  });

  it("charges cache writes by how long they are kept, and web searches", () => {
    // claude-sonnet-4-5: 3 / 0.30 / 3.75 / 6 (1 h) / 15, searches 10 dollars a thousand
    const usage = { input: 33_060, cacheRead: 31_000, cacheWrite: 2048, output: 230 };
    expect(cost("anthropic", "claude-sonnet-4-5", { ...usage, cacheWrite1h: 0 })).toBe(20_466_000n);
    expect(cost("anthropic", "claude-sonnet-4-5", { ...usage, cacheWrite1h: 2048 })).toBe(25_074_000n);
    expect(cost("anthropic", "claude-sonnet-4-5", { ...usage, units: { web_searches: 1 } })).toBe(30_466_000n);
  });

  it("charges what is billed where that differs from what was used", () => {
    // command-a: 2.5 / 10
    expect(cost("cohere", "command-a-03-2025", { input: 215, output: 14, billedInput: 17, billedOutput: 12 })).toBe(162_500n);
  });

  it("takes the provider's own figure when it sends one", () => {
    expect(cost("xai", "grok-4.20-0309-reasoning", { input: 10_120, output: 4308, costReportedUsd: 0.0232856 })).toBe(23_285_600n);
    expect(cost("custom", "anything", { costReportedUsd: 0 })).toBe(0n);
  });

  it("adds what another model used within the call, and knows no sum when one part is unknown", () => {
    const extra = { input: 50, output: 10, cacheRead: 0, cacheWrite: 0 };
    const alone = cost("anthropic", "claude-opus-4-6", { input: 5100, output: 320 });
    const both = cost("anthropic", "claude-opus-4-6", { input: 5100, output: 320, extra: [{ model: "claude-haiku-4-5", ...extra }] });
    expect(both).toBe((alone ?? 0n) + 100_000n);
    expect(cost("anthropic", "claude-opus-4-6", { input: 5100, output: 320, extra: [{ model: "unknown", ...extra }] })).toBeNull();
  });

  it.each([
    ["unknown model", "openai", "gpt-99", { input: 1, output: 1 }],
    ["operator's own host", "custom", "gpt-5", { input: 1, output: 1 }],
    ["input unknown", "openai", "gpt-5", { output: 10 }],
    ["no usage", "openai", "gpt-5", {}],
    ["only units", "cohere", "rerank-v3.5", { units: { search_units: 1 } }],
    ["more cached than sent", "openai", "gpt-5", { input: 1, cacheRead: 5, output: 1 }],
    ["output of a model that has no price for it", "openai", "text-embedding-3-small", { input: 1, output: 5 }],
  ] as const)("is null, not zero: %s", (_name, provider, model, usage) => {
    expect(cost(provider, model, usage)).toBeNull();
  });

  it("is exact to the nano-dollar and refuses what is no amount", () => {
    expect(toNanoUsd(0.1)).toBe(100_000_000n);
    expect(toNanoUsd(1e-9)).toBe(1n);
    expect(toNanoUsd(-1)).toBeNull();
    expect(toNanoUsd(Number.NaN)).toBeNull();
    expect(toNanoUsd(1e12)).toBeNull();
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1_000_000_000_000_000n }), (nano) => toNanoUsd(fromNanoUsd(nano)) === nano),
      { seed: 7 },
    );
  });
});

const CALL: CountedCall & { readonly id: string } = {
  id: "evt_1",
  provider: "openai",
  model: "gpt-5",
  operation: "chat",
  timestamp: "2026-11-21T10:00:00.000Z",
  status: 200,
  streaming: false,
  input_tokens: 100,
  output_tokens: 20,
  total_tokens: 120,
  cache_read_tokens: 50,
  cache_write_tokens: null,
  reasoning_tokens: 5,
  usage_source: "reported",
  call_outcome: "ok",
  cost_usd: 0.1,
  decision: "allow",
};
const UNKNOWN = {
  input_tokens: null,
  output_tokens: null,
  total_tokens: null,
  cache_read_tokens: null,
  reasoning_tokens: null,
  cost_usd: null,
  usage_source: "none",
} as const;

describe("counted responses", () => {
  it("forgets the oldest past its limit, and what was used again last", () => {
    const counted = new CountedResponses(2);
    const fetch = (id: string): boolean => counted.isRepeat({ ...CALL, operation: "fetch_response", response_id: id });
    expect([fetch("a"), fetch("b"), fetch("a"), fetch("c"), fetch("a"), fetch("b")]).toEqual([false, false, true, false, true, false]);
  });

  it("remembers at least as many as its limit, whatever was forgotten before", () => {
    const counted = new CountedResponses(100);
    const fetch = (n: number): boolean => counted.isRepeat({ ...CALL, operation: "fetch_response", response_id: `r${n}` });
    for (let n = 0; n < 1_000; n += 1) {
      expect(fetch(n)).toBe(false);
      // 98 others were used since, half of them again
      if (n >= 49) expect(counted.isRepeat({ ...CALL, response_id: `r${n - 49}` })).toBe(true);
    }
    expect([fetch(0), fetch(500)]).toEqual([false, false]);
  });

  it("never takes an ordinary call for another, nor a fetch without usage for one that has it", () => {
    const counted = new CountedResponses();
    const chat = { ...CALL, response_id: "constant" };
    expect([counted.isRepeat(chat), counted.isRepeat(chat)]).toEqual([false, false]);
    const fetch = { ...CALL, operation: "fetch_response", response_id: "r" };
    expect(counted.isRepeat({ ...fetch, ...UNKNOWN })).toBe(false);
    expect(counted.isRepeat(fetch)).toBe(false);
    expect(counted.isRepeat({ ...chat, response_id: "r" })).toBe(true);
    expect(counted.isRepeat({ ...fetch, response_id: "constant" })).toBe(true);
    expect(counted.isRepeat({ ...fetch, response_id: "" })).toBe(false);
    expect(counted.isRepeat({ ...fetch, provider: "azure" })).toBe(false);
  });
});

describe("usage entries", () => {
  it("counts the tokens of a polled response once", () => {
    const poll = { ...CALL, operation: "fetch_response", response_id: "resp_1" };
    const [entry] = foldCalls([poll, { ...poll, id: "evt_2" }, { ...poll, id: "evt_3" }]);
    expect(entry).toMatchObject({ request_count: 3, total_tokens: 120, cost_usd: 0.1, unmetered_requests: 0, unpriced_requests: 0 });
  });

  it("sums what is known and counts what is not", () => {
    const [entry] = foldCalls([
      CALL,
      { ...CALL, id: "evt_2", streaming: true, timestamp: "2026-11-21T10:00:01.000Z", cost_usd: 0.2 },
      { ...CALL, id: "evt_3", ...UNKNOWN },
      { ...CALL, id: "evt_4", ...UNKNOWN, status: 500, call_outcome: "server_error" },
      { ...CALL, id: "evt_5", ...UNKNOWN, status: null, call_outcome: "aborted" },
    ]);
    expect(entry).toEqual({
      provider: "openai",
      model: "gpt-5",
      request_count: 5,
      streaming_count: 1,
      error_count: 1,
      unmetered_requests: 2,
      total_input_tokens: 200,
      total_output_tokens: 40,
      total_tokens: 240,
      cache_read_tokens: 100,
      cache_write_tokens: 0,
      reasoning_tokens: 10,
      cost_usd: 0.3,
      unpriced_requests: 2,
      last_request: "2026-11-21T10:00:01.000Z",
    });
  });

  it("keeps cost null while no price is known", () => {
    expect(addCall(emptyEntry("openai", "gpt-5"), { ...CALL, cost_usd: null }).cost_usd).toBeNull();
  });

  it("counts a replayed call once and a denied one never", () => {
    expect(foldCalls([CALL, CALL, { ...CALL, id: "evt_9", decision: "deny" }])).toMatchObject([{ request_count: 1, total_tokens: 120 }]);
    expect(foldCalls([{ ...CALL, decision: "deny" }])).toEqual([]);
  });

  it("does not miss tokens of calls that cost none", () => {
    expect(foldCalls([{ ...CALL, ...UNKNOWN, operation: "count_tokens" }])).toMatchObject([
      { unmetered_requests: 0, unpriced_requests: 0, request_count: 1 },
    ]);
  });

  it("gives the same entries in any order of calls", () => {
    const calls = fc.array(
      fc.record({
        model: fc.constantFrom("a", "b"),
        input_tokens: fc.option(fc.nat(1000)),
        cost_usd: fc.option(fc.nat(1_000_000).map((nano) => nano / 1e9)),
        timestamp: fc.constantFrom("2026-11-21T10:00:00.000Z", "2026-11-21T11:00:00.000Z"),
      }),
    );
    fc.assert(
      fc.property(calls, (changes) => {
        const all = changes.map((change, i) => ({ ...CALL, ...change, id: `evt_${i}` }));
        expect(foldCalls([...all].reverse())).toEqual(foldCalls(all));
      }),
      { seed: 11 },
    );
  });
});
