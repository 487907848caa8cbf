import { createRequire } from "node:module";
import type * as genaiPrices from "@pydantic/genai-prices";
import type { Usage as PricedUsage } from "@pydantic/genai-prices";
import type { ProviderId } from "../schema/provider.ts";
import type { ExtraUsage, Usage } from "../schema/usage.ts";
import type { CostOfCall } from "./cost.ts";
import { toNanoUsd } from "./nano.ts";

/** Our provider ids in the price table; absent ones have no prices there. Its remote updater is never called: the table is the pinned package. */
const PRICE_PROVIDERS: Readonly<Partial<Record<ProviderId, string>>> = {
  openai: "openai",
  anthropic: "anthropic",
  google: "google",
  vertex: "google",
  deepseek: "deepseek",
  groq: "groq",
  mistral: "mistral",
  cohere: "cohere",
  together: "together",
  fireworks: "fireworks",
  xai: "x-ai",
  openrouter: "openrouter",
  azure: "azure",
  bedrock: "aws",
};

let prices: typeof genaiPrices | undefined;

/** The table is large and only needed once a call has ended, so it is read then; at once, since the call's record waits for the price. */
function priceTable(): typeof genaiPrices {
  prices ??= createRequire(import.meta.url)("@pydantic/genai-prices") as typeof genaiPrices;
  return prices;
}

/** The price of a call: the provider's own figure when it sends one, else the pinned price table's; null when neither is known. */
export function createCostOf(): CostOfCall {
  return (call) => {
    if (call.usage.costReportedUsd !== null) return toNanoUsd(call.usage.costReportedUsd);
    const providerId = PRICE_PROVIDERS[call.provider];
    if (providerId === undefined) return null;
    const at = new Date(call.at);
    const own = priceOf(billedUsage(call.usage), call.model, providerId, at);
    if (own === null) return null;
    let sum = own;
    for (const extra of call.usage.extra ?? []) {
      const part = priceOf(extraUsage(extra), extra.model, providerId, at);
      // a sum that leaves a part out would look like a price
      if (part === null) return null;
      sum += part;
    }
    return toNanoUsd(sum);
  };
}

/** Dollars; null when the model is not in the table, or what was used has no price there. */
function priceOf(usage: PricedUsage | null, model: string, providerId: string, timestamp: Date): number | null {
  if (usage === null) return null;
  try {
    const price = priceTable().calcPrice(usage, model, { providerId, timestamp });
    if (price === null) return null;
    return isPriced(usage, price.model_price) ? price.total_price : null;
  } catch {
    // the table refuses figures that contradict each other (cached > input): such a call has no known price
    return null;
  }
}

/** Does the entry have a price for what was used? Without one the table answers 0, which is no price. */
function isPriced(usage: PricedUsage, prices: Readonly<Record<string, unknown>>): boolean {
  const paysInput = (usage["input_tokens"] ?? 0) > 0;
  const paysOutput = (usage["output_tokens"] ?? 0) > 0;
  return (!paysInput || prices["input_mtok"] !== undefined) && (!paysOutput || prices["output_mtok"] !== undefined);
}

/** What is paid for: billed tokens where a provider tells them apart (Cohere), else the actual ones with their cached parts. */
function billedUsage(usage: Usage): PricedUsage | null {
  const input = usage.billedInput ?? usage.input;
  const output = usage.billedOutput ?? usage.output;
  const searches = usage.units["web_searches"];
  // half a price would look like a whole one
  if (input === null || output === null) return null;
  const isBilled = usage.billedInput !== null;
  return known({
    input_tokens: input,
    output_tokens: output,
    cache_read_tokens: isBilled ? null : usage.cacheRead,
    cache_write_tokens: isBilled ? null : usage.cacheWrite,
    cache_write_1h_tokens: isBilled ? null : usage.cacheWrite1h,
    input_audio_tokens: isBilled ? null : usage.inputAudio,
    output_audio_tokens: usage.outputAudio,
    web_searches: searches ?? null,
  });
}

function extraUsage(extra: ExtraUsage): PricedUsage | null {
  if (extra.input === null || extra.output === null) return null;
  return known({
    input_tokens: extra.input,
    output_tokens: extra.output,
    cache_read_tokens: extra.cacheRead,
    cache_write_tokens: extra.cacheWrite,
  });
}

function known(fields: Readonly<Record<string, number | null>>): PricedUsage {
  const usage: PricedUsage = {};
  for (const [name, value] of Object.entries(fields)) if (value !== null) usage[name] = value;
  return usage;
}
