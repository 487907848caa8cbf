import { calcPrice, findProvider } from "@pydantic/genai-prices";
import { describe, expect, it } from "vitest";
import { plainPrice, plainRow } from "./plain-row.ts";

const PROVIDERS = [
  "openai",
  "anthropic",
  "google",
  "deepseek",
  "groq",
  "mistral",
  "cohere",
  "x-ai",
  "openrouter",
  "azure",
  "aws",
  "cerebras",
  "moonshotai",
];
const AT = new Date(Date.UTC(2026, 10, 21));

/** input, output, cache reads, cache writes */
const USED = [
  [0, 0, null, null],
  [1, 1, null, null],
  [231, 120, 128, null],
  [231, 120, 128, 0],
  [12_345, 6_789, 11_111, 1_234],
  [199_999, 7, 3, null],
  [200_000, 7, 0, 200_000],
  [200_001, 64_000, 100_001, 99_999],
  [272_001, 333, 33, 3_333],
  [987_654_321, 123_456_789, 87_654_321, 7_654_321],
] as const;

describe("plainPrice", () => {
  it("gives the table's own figure, to the last bit, for every row that it takes", () => {
    let compared = 0;
    for (const providerId of PROVIDERS) {
      const provider = findProvider({ providerId });
      for (const model of provider?.models ?? []) {
        const row = Array.isArray(model.prices) ? undefined : plainRow(model.prices);
        if (provider === undefined || row === undefined) continue;
        for (const [input, output, cacheRead, cacheWrite] of USED) {
          const usage = {
            input_tokens: input,
            output_tokens: output,
            ...(cacheRead === null ? {} : { cache_read_tokens: cacheRead }),
            ...(cacheWrite === null ? {} : { cache_write_tokens: cacheWrite }),
          };
          const table = calcPrice(usage, model.id, {
            provider: { ...provider, models: [{ ...model, match: { equals: model.id } }] },
            timestamp: AT,
          });
          expect([model.id, plainPrice(row, { input, output, cacheRead, cacheWrite, cacheWrite1h: null })]).toEqual([
            model.id,
            table?.total_price,
          ]);
          compared += 1;
        }
      }
    }
    expect(compared).toBeGreaterThan(5_000);
  });

  it("leaves to the table what it does not know", () => {
    const row = plainRow({ input_mtok: 3, output_mtok: 15, cache_read_mtok: 0.3 });
    expect(row).toBeDefined();
    const tokens = { input: 10, output: 10, cacheRead: null, cacheWrite: null, cacheWrite1h: null };
    expect(plainPrice(row ?? [], { ...tokens, output: null })).toBeUndefined();
    expect(plainPrice(row ?? [], { ...tokens, cacheRead: 11 })).toBeUndefined();
    expect(plainPrice(row ?? [], { ...tokens, cacheWrite1h: 1 })).toBeUndefined();
    expect(plainRow({ input_mtok: 3 })).toBeUndefined();
    expect(plainRow({ input_mtok: 3, output_mtok: 15, requests_kcount: 1 })).toBeUndefined();
  });
});
