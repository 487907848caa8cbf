import { z } from "zod";
import { providerId } from "./provider.ts";

/** What `GET /llm/providers` and `GET /llm/prices` answer. */

export const llmProvider = z.strictObject({
  provider: providerId,
  /** the operator's own name of it; null for a built-in one and for custom domains */
  name: z.string().nullable(),
  /** `file`: the configuration's, which come before built-in hosts */
  source: z.enum(["built_in", "file"]),
  /** `{…}` stands for a part that is the customer's or a region */
  hosts: z.array(z.string()),
  /** wire formats that are understood there */
  shapes: z.array(z.string()),
  operations: z.array(z.string()),
  /** streams are asked for their usage; null: it depends on the request (Azure's `api-version`) */
  include_usage: z.boolean().nullable(),
  /** models whose built-in price is known */
  priced_models: z.int(),
});
export type LlmProvider = z.infer<typeof llmProvider>;

const usd = z.number().nullable();

export const llmPrice = z.strictObject({
  /** null: at every provider */
  provider: providerId.nullable(),
  /** as asked for, as the table names it, or the pattern of the operator's row */
  model: z.string(),
  source: z.enum(["built_in", "file"]),
  /** US dollars for a million tokens; null: no price */
  input: usd,
  output: usd,
  cache_read: usd,
  cache_write: usd,
  cache_write_1h: usd,
  /** US dollars for a call */
  request: usd,
  /** US dollars for one of these: images, pages, audio_hours, web_searches … */
  units: z.record(z.string(), z.number()),
  /** other prices from so many input tokens on */
  steps: z.array(
    z.strictObject({
      from_tokens: z.int(),
      of: z.enum(["input", "output", "cache_read", "cache_write", "cache_write_1h"]),
      price: z.number(),
    }),
  ),
});
export type LlmPrice = z.infer<typeof llmPrice>;

export const llmPrices = z.strictObject({
  currency: z.literal("USD"),
  /** what a budget in dollars does with a model that has no price */
  unknown_price: z.enum(["deny", "assume_max", "allow"]),
  /** file that comes before the built-in table */
  price_file: z.string().nullable(),
  prices: z.array(llmPrice),
});
export type LlmPrices = z.infer<typeof llmPrices>;
