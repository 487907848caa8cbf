import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { priceFile, type PriceFile } from "../schema/price-file.ts";
import type { ProviderId } from "../schema/provider.ts";
import { UNKNOWN_USAGE, type Usage } from "../schema/usage.ts";
import { createCostOf, dearestModel } from "./genai-prices.ts";
import { decideModel, matchesModel } from "./model-glob.ts";
import { multiplierOf, multiply } from "./multipliers.ts";
import { decidePrice } from "./unknown-price.ts";

const AT = Date.UTC(2026, 10, 21);

type Call = { provider: ProviderId; model: string; usage: Partial<Usage>; tier?: string | null };

function cost({ provider, model, usage, tier = null }: Call, own?: PriceFile): bigint | null {
  return createCostOf(own === undefined ? {} : { own })({
    provider,
    model,
    usage: { ...UNKNOWN_USAGE, ...usage },
    serviceTier: tier,
    at: AT,
  });
}

const file = (rows: Parameters<typeof priceFile.parse>[0]): PriceFile => priceFile.parse(rows);

describe("tiers", () => {
  // gpt-5-mini: 0.25 / 2 dollars a million tokens
  const call: Call = { provider: "openai", model: "gpt-5-mini", usage: { input: 1000, output: 100 } };

  it.each([
    [null, 450_000n],
    ["default", 450_000n],
    ["flex", 225_000n],
    ["batch", 225_000n],
    ["priority", 810_000n],
    ["a tier of tomorrow", null],
    ["constructor", null],
  ] as const)("OpenAI %s", (tier, nano) => {
    expect(cost({ ...call, tier })).toBe(nano);
  });

  it("halves batches everywhere, and charges other tiers of other providers as usual", () => {
    const groq: Call = { provider: "groq", model: "llama-3.3-70b-versatile", usage: { input: 1_000_000, output: 0 } };
    const full = cost(groq);
    expect(full).toBeGreaterThan(0n);
    expect(cost({ ...groq, tier: "on_demand" })).toBe(full);
    expect(cost({ ...groq, tier: "batch" })).toBe((full ?? 0n) / 2n);
  });

  it("charges Anthropic's fast mode six times and data residency a tenth more, the searches once", () => {
    // claude-opus-4-6: 5 / 25
    const opus = { provider: "anthropic", model: "claude-opus-4-6" } as const;
    const usage = { input: 1000, output: 100, cacheRead: 0, cacheWrite: 0 };
    expect(cost({ ...opus, usage })).toBe(7_500_000n);
    expect(cost({ ...opus, usage: { ...usage, speed: "fast" } })).toBe(45_000_000n);
    const newer = { provider: "anthropic", model: "claude-opus-4-8" } as const;
    expect(cost({ ...newer, usage: { ...usage, speed: "fast" } })).toBe((cost({ ...newer, usage }) ?? 0n) * 2n);
    expect(cost({ ...opus, usage: { ...usage, speed: "standard", geo: "us" } })).toBe(8_250_000n);
    expect(cost({ ...opus, usage: { ...usage, geo: "global" } })).toBe(7_500_000n);
    expect(cost({ ...opus, usage: { ...usage, speed: "fast", units: { web_searches: 2 } } })).toBe(65_000_000n);
    expect(cost({ ...opus, tier: "batch", usage: { ...usage, speed: "standard" } })).toBe(3_750_000n);
    expect(cost({ ...opus, usage: { ...usage, speed: "warp" } })).toBeNull();
    // the older models run where they run, at one price
    const sonnet = { provider: "anthropic", model: "claude-sonnet-4-5-20250929", usage } as const;
    expect(cost({ ...sonnet, usage: { ...usage, geo: "us" } })).toBe(cost(sonnet));
  });

  it("multiplies without floats", () => {
    expect(multiply(3n, { num: 1n, den: 2n })).toBe(2n);
    expect(multiply(1n, { num: 1n, den: 3n })).toBe(0n);
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 18n }), (nano) => multiply(nano, { num: 6n, den: 1n }) === nano * 6n),
      { seed: 7 },
    );
  });
});

describe("prices by the piece and of special tokens", () => {
  it.each([
    ["a minute of whisper", { provider: "openai", model: "whisper-1", usage: { units: { audio_seconds: 60 } } }, 6_000_000n],
    ["three pages", { provider: "mistral", model: "mistral-ocr-latest", usage: { units: { pages: 3 } } }, 12_000_000n],
    ["a provider added by its row", { provider: "cerebras", model: "gpt-oss-120b", usage: { input: 1_000_000, output: 0 } }, 350_000_000n],
    ["another of them", { provider: "moonshot", model: "kimi-k2.5", usage: { input: 1_000_000, output: 0 } }, 600_000_000n],
    ["a picture", { provider: "openai", model: "gpt-image-2", usage: { input: 62, output: 1056, outputImage: 1056 } }, 31_990_000n],
    ["characters", { provider: "openai", model: "tts-1", usage: { units: { characters: 17 } } }, null],
    ["pages of a model that has no price for them", { provider: "openai", model: "gpt-5", usage: { units: { pages: 3 } } }, null],
  ] as const)("%s", (_name, call, nano) => {
    expect(cost(call)).toBe(nano);
  });

  it("prices sound with a cache, whether the provider splits it or not", () => {
    const usage = { input: 132, output: 121, cacheRead: 64, inputAudio: 13, outputAudio: 91 };
    const call = { provider: "openai", model: "gpt-realtime" } as const;
    const split = cost({ ...call, usage: { ...usage, cacheReadAudio: 0 } });
    expect(split).toBeGreaterThan(0n);
    expect(cost({ ...call, usage })).toBe(split);
  });

  it("prices a compound system by the models that served it", () => {
    const part = (model: string) => ({ model, input: 1_000_000, output: 0, cacheRead: null, cacheWrite: null });
    const llama = cost({ provider: "groq", model: "llama-3.3-70b-versatile", usage: { input: 1_000_000, output: 0 } });
    const usage = { input: 2_000_000, output: 0, parts: [part("llama-3.3-70b-versatile"), part("llama-3.3-70b-versatile")] };
    expect(cost({ provider: "groq", model: "groq/compound", usage })).toBe((llama ?? 0n) * 2n);
  });
});

describe("the operator's own prices", () => {
  const own = file({
    prices: [
      { provider: "custom", model: "llama-*", input: 0.2, output: 0.6 },
      { model: "gpt-5-mini", input: 1, output: 2, cache_read: 0.1, cache_write: 1.25, cache_write_1h: 2, units: { web_searches: 0.01 } },
      { model: "tts-*", units: { characters: 0.000015 } },
      { model: "per-call", request: 0.5 },
    ],
    multipliers: [
      { provider: "openai", tier: "priority", factor: 3 },
      { tier: "a tier of tomorrow", factor: 1.5 },
    ],
  });

  it.each([
    ["a custom model", { provider: "custom", model: "Llama-3.3", usage: { input: 1_000_000, output: 1_000_000 } }, 800_000_000n],
    ["only at its provider", { provider: "ollama", model: "llama-3.3", usage: { input: 1, output: 1 } }, null],
    [
      "over the table, with its cache",
      { provider: "openai", model: "gpt-5-mini", usage: { input: 1000, cacheRead: 400, cacheWrite: 300, cacheWrite1h: 100, output: 10 } },
      810_000n,
    ],
    [
      "with searches, which no tier multiplies",
      { provider: "openai", model: "gpt-5-mini", tier: "priority", usage: { input: 1000, output: 0, units: { web_searches: 2 } } },
      23_000_000n,
    ],
    [
      "with a tier of its own",
      { provider: "openai", model: "gpt-5-mini", tier: "a tier of tomorrow", usage: { input: 1000, output: 0 } },
      1_500_000n,
    ],
    ["by the character", { provider: "openai", model: "tts-1", usage: { units: { characters: 17 } } }, 255_000n],
    ["by the call", { provider: "custom", model: "per-call", usage: {} }, 500_000_000n],
    ["no price for tokens", { provider: "openai", model: "tts-1", usage: { input: 5, output: 5 } }, null],
    ["output unknown", { provider: "custom", model: "llama-3", usage: { input: 5 } }, null],
    ["more cached than sent", { provider: "custom", model: "llama-3", usage: { input: 5, cacheRead: 9, output: 1 } }, null],
    [
      "what the provider says comes first",
      { provider: "openrouter", model: "gpt-5-mini", usage: { input: 5, output: 1, costReportedUsd: 0.25 } },
      250_000_000n,
    ],
  ] as const)("%s", (_name, call, nano) => {
    expect(cost(call, own)).toBe(nano);
  });

  it("is one part where the table is another", () => {
    const extra = [{ model: "gpt-5-mini", input: 1000, output: 0, cacheRead: null, cacheWrite: null }];
    const alone = cost({ provider: "openai", model: "gpt-5", usage: { input: 10, output: 10 } });
    expect(cost({ provider: "openai", model: "gpt-5", usage: { input: 10, output: 10, extra } }, own)).toBe((alone ?? 0n) + 1_000_000n);
  });

  it("refuses what it does not know", () => {
    expect(priceFile.safeParse({ prices: [{ model: "x", inptu: 1 }] }).success).toBe(false);
    expect(priceFile.safeParse({ prices: [{ model: "x", input: -1 }] }).success).toBe(false);
    expect(priceFile.safeParse({ multipliers: [{ tier: "x", factor: 0 }] }).success).toBe(false);
    expect(priceFile.parse({})).toEqual({ prices: [], multipliers: [] });
  });

  it("multiplies by a tier, a speed and a place at once", () => {
    const multipliers = file({ multipliers: [{ speed: "turbo", factor: 2.5 }] }).multipliers;
    const call = { provider: "anthropic", model: "claude-opus-5", serviceTier: "batch", usage: { speed: "turbo", geo: "us" } } as const;
    const ratio = multiplierOf(call, multipliers);
    expect(ratio === null ? null : Number(ratio.num) / Number(ratio.den)).toBe(1.375);
  });
});

describe("unknown prices", () => {
  const call = {
    provider: "openai",
    model: "gpt-99",
    usage: { ...UNKNOWN_USAGE, input: 10_000, output: 2000 },
    serviceTier: null,
    at: AT,
  } as const;
  const prices = { costOf: createCostOf(), dearestModel };

  it("are let go, denied, or taken for the dearest of the provider", () => {
    expect(decidePrice("allow", call, prices)).toEqual({ verdict: "allow", nano: null, assumed: null });
    expect(decidePrice("deny", call, prices)).toMatchObject({ verdict: "deny" });
    const most = decidePrice("assume_max", call, prices);
    if (most.verdict !== "allow" || most.nano === null) throw new Error("no price was assumed");
    for (const model of ["gpt-5", "gpt-5-mini", "gpt-4.1", "o3", "gpt-4o"]) {
      expect(most.nano, model).toBeGreaterThanOrEqual(cost({ provider: "openai", model, usage: call.usage }) ?? 0n);
    }
    expect(most.assumed).not.toBeNull();
  });

  it("deny where there is nothing to assume", () => {
    expect(decidePrice("assume_max", { ...call, provider: "custom" }, prices)).toMatchObject({ verdict: "deny" });
    expect(decidePrice("assume_max", { ...call, usage: UNKNOWN_USAGE }, prices)).toMatchObject({ verdict: "deny" });
  });

  it("never matter for a model whose price is known", () => {
    for (const mode of ["allow", "assume_max", "deny"] as const) {
      expect(decidePrice(mode, { ...call, model: "gpt-5-mini" }, prices)).toMatchObject({
        verdict: "allow",
        assumed: null,
        nano: 6_500_000n,
      });
    }
  });
});

describe("model lists", () => {
  it.each([
    ["claude-*", "claude-opus-4-6", true],
    ["CLAUDE-*", "Claude-Opus", true],
    ["*-mini", "gpt-5-mini", true],
    ["gpt-*-mini", "gpt-5-mini", true],
    ["gpt-*-mini", "gpt-mini", false],
    ["a*a", "a", false],
    ["*", "", true],
    ["gpt-5", "gpt-5-mini", false],
    ["gpt.5", "gpt-5", false],
  ])("%s fits %s: %s", (pattern, model, fits) => {
    expect(matchesModel(pattern, model)).toBe(fits);
  });

  it.each([
    ["gpt-5", "deny", "gpt-5*"],
    ["GPT-5-2026-08-07", "deny", "gpt-5*"],
    ["claude-opus-4-6-20260101", "deny", "claude-opus-4-6"],
    ["claude-opus-4-6@20260101", "deny", "claude-opus-4-6"],
    ["anthropic/claude-opus-4-6", "deny", "claude-opus-4-6"],
    ["accounts/fireworks/models/gpt-5", "deny", "gpt-5*"],
    ["claude-opus-4-6-turbo", "allow", "*"],
    ["gemini-3.5-flash", "allow", "*"],
    [null, "deny", null],
  ])("%j: %s", (model, verdict, pattern) => {
    expect(decideModel(model, { allow: ["*"], deny: ["gpt-5*", "claude-opus-4-6"] })).toEqual({ verdict, pattern });
  });

  it("denies what an allow list does not name, and has no opinion without lists", () => {
    expect(decideModel("o3", { allow: ["gpt-*"], deny: [] })).toEqual({ verdict: "deny", pattern: null });
    expect(decideModel(null, { allow: ["gpt-*"], deny: [] })).toEqual({ verdict: "deny", pattern: null });
    expect(decideModel(null, { allow: [], deny: [] })).toEqual({ verdict: "allow", pattern: null });
    expect(decideModel("gpt-5", { allow: ["gpt-*"], deny: ["*"] })).toEqual({ verdict: "deny", pattern: "*" });
  });

  it("is done with a hostile pattern and name", () => {
    expect(matchesModel("*a*a*a*a*a*a*a*a*a*b", "a".repeat(256))).toBe(false);
  });
});
