import type { CostOfCall } from "./cost.ts";

/** `[llm].unknown_price`: what a budget in dollars does with a model whose price nobody knows. */
export type UnknownPrice = "allow" | "assume_max" | "deny";

export type PricedCall = Parameters<CostOfCall>[0];

export type PriceDecision =
  /** `nano` null: it may go, and counts nothing; `assumed`: the price is another model's */
  | { readonly verdict: "allow"; readonly nano: bigint | null; readonly assumed: string | null }
  | { readonly verdict: "deny"; readonly reason: string };

/**
 * The price that a budget in dollars counts for a call. A known price is always taken. `assume_max` takes that of the provider's
 * dearest model, and denies where none is known; with `deny` nothing of unknown price may be called.
 */
export function decidePrice(
  mode: UnknownPrice,
  call: PricedCall,
  prices: { readonly costOf: CostOfCall; readonly dearestModel: (provider: PricedCall["provider"], at: number) => string | null },
): PriceDecision {
  const nano = prices.costOf(call);
  if (nano !== null) return { verdict: "allow", nano, assumed: null };
  switch (mode) {
    case "allow":
      return { verdict: "allow", nano: null, assumed: null };
    case "deny":
      return { verdict: "deny", reason: `the price of ${call.model} at ${call.provider} is not known, and unknown_price is "deny"` };
    case "assume_max": {
      const assumed = prices.dearestModel(call.provider, call.at);
      // tiers multiply the dearest model's price as they would have multiplied the unknown one's
      const most = assumed === null ? null : prices.costOf({ ...call, model: assumed });
      if (assumed !== null && most !== null) return { verdict: "allow", nano: most, assumed };
      return { verdict: "deny", reason: `the price of ${call.model} is not known, nor is that of any model of ${call.provider} to assume` };
    }
    default:
      return mode satisfies never;
  }
}
