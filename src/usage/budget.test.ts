import { expect, test } from "vitest";
import { amountOf, countsCall, figureOf, levelOf, meterKey, showAmount } from "./budget.ts";
import { windowAt } from "./budget-window.ts";
import { estimateCall, estimateEnd } from "./call-estimate.ts";

const call = { sandbox: "web", labels: { team: "red", empty: "" }, provider: "openai", model: "openai/gpt-5-mini-2025-08-07" } as const;

test.each([
  ["global", true],
  ["sandbox:web", true],
  ["sandbox:we", false],
  ["label:team=red", true],
  ["label:team=re", false],
  ["label:empty=", true],
  ["label:toString=", false],
  ["provider:openai", true],
  ["provider:azure", false],
  ["model:gpt-5-mini", true],
  ["model:GPT-5*", true],
  ["model:openai/*", true],
  ["model:claude-*", false],
])("scope %s", (scope, expected) => {
  expect(countsCall({ scope }, call)).toBe(expected);
});

test("a call whose model is not known counts against every model's budget", () => {
  expect(countsCall({ scope: "model:claude-*" }, { ...call, model: null })).toBe(true);
});

test("amounts are whole nano-dollars", () => {
  expect(amountOf("usd", 0.1) + amountOf("usd", 0.2)).toBe(300_000_000n);
  expect(figureOf("usd", 300_000_000n)).toBe(0.3);
  expect(showAmount("usd", 1_250_000_000n)).toBe("$1.25");
  expect(showAmount("usd", 123_456n)).toBe("$0.00012");
  expect(amountOf("tokens", 7)).toBe(7n);
});

test("another limit keeps what is used, another window does not", () => {
  const budget = { id: "a", scope: "global", unit: "usd", limit: 5n, window: "day", onExceed: "deny", source: "api" } as const;
  expect(meterKey({ ...budget, limit: 9n, onExceed: "warn" })).toBe(meterKey(budget));
  expect(meterKey({ ...budget, window: "week" })).not.toBe(meterKey(budget));
});

test("thresholds", () => {
  expect([0n, 49n, 50n, 79n, 80n, 90n, 99n, 100n, 500n].map((used) => levelOf(used, 100n))).toEqual([0, 0, 50, 50, 80, 90, 90, 100, 100]);
});

test("calendar windows are those of UTC, weeks begin on Monday", () => {
  const sunday = Date.UTC(2026, 10, 22, 23, 59, 59, 999);
  const monday = sunday + 1;
  expect(windowAt("day", sunday)).toMatchObject({ since: Date.UTC(2026, 10, 22), endsAt: monday });
  expect(windowAt("week", sunday)).toMatchObject({ since: Date.UTC(2026, 10, 16), endsAt: monday });
  expect(windowAt("week", monday)).toMatchObject({ since: monday });
  expect(windowAt("month", Date.UTC(2024, 1, 29))).toMatchObject({ since: Date.UTC(2024, 1), endsAt: Date.UTC(2024, 2) });
  expect(windowAt("month", Date.UTC(2026, 11, 31))).toMatchObject({ endsAt: Date.UTC(2027, 0) });
  expect(windowAt("total", sunday)).toEqual({ bucket: 0, since: 0, period: 0, endsAt: null });
});

test("a sliding window counts an amount for its whole length, and at most a bucket longer", () => {
  const length = 5 * 3_600_000;
  for (const at of [0, 1, 70_312, 70_313, 123_456_789, 1_795_000_000_123]) {
    const { bucket } = windowAt("5h", at);
    expect(windowAt("5h", at + length - 1).since).toBeLessThanOrEqual(bucket);
    expect(windowAt("5h", at + length + Math.ceil(length / 256)).since).toBeGreaterThan(bucket);
  }
});

test.each([
  ["the request's maximum", { maxOutputTokens: 200 }, { input: 34, output: 200 }],
  ["the model's", { model: "gpt-4o-2024-08-06" }, { input: 34, output: 16_384 }],
  ["the model's, which is more than its family's", { model: "gpt-5-pro" }, { input: 34, output: 272_000 }],
  ["the newest model's", { model: "openai/gpt-6-sol" }, { input: 34, output: 128_000 }],
  ["the newest of a family, which gives more than those before it", { model: "grok-4.7" }, { input: 34, output: 500_000 }],
  ["the model's behind a region", { model: "us.anthropic.claude-opus-4-5-20251101-v1:0" }, { input: 34, output: 64_000 }],
  ["the model's behind a slash", { model: "deepseek/deepseek-chat" }, { input: 34, output: 384_000 }],
  ["nobody's", {}, { input: 34, output: 16_000 }],
  ["several answers", { maxOutputTokens: 200, choices: 3 }, { input: 34, output: 600 }],
  ["no answers", { maxOutputTokens: 200, choices: -3 }, { input: 34, output: 200 }],
  ["a negative maximum", { maxOutputTokens: -5_000 }, { input: 34, output: 0 }],
  ["an endless maximum", { maxOutputTokens: 1e300, choices: 1e300 }, { input: 34, output: 1e9 }],
  ["embeddings", { operation: "embeddings" }, { input: 34, output: 0 }],
])("what a call is expected to use: %s", (_name, request, expected) => {
  const plain = { operation: "chat", model: null, bodyBytes: 100, maxOutputTokens: null, choices: null };
  expect(estimateCall({ ...plain, ...request })).toEqual(expected);
});

test("what a call without usage counts: never nothing, never more than was expected", () => {
  const expected = { input: 34, output: 200 };
  expect(estimateEnd(expected, null, 30)).toEqual({ input: 34, output: 10 });
  expect(estimateEnd(expected, null, 1e9)).toEqual({ input: 34, output: 200 });
  expect(estimateEnd(expected, { input: 12, output: 1 }, 300)).toEqual({ input: 12, output: 100 });
  expect(estimateEnd(expected, { input: null, output: 500 }, 300)).toEqual({ input: 34, output: 500 });
});
