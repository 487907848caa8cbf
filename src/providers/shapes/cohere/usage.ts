import type { Usage } from "../../../schema/usage.ts";
import { asAmount, asCount, asFields, usageOf, type Fields } from "../fields.ts";

/** Fields of v2 `usage` and v1 `meta`. */
export const COHERE_USAGE_FIELDS = ["billed_units", "tokens", "cached_tokens"] as const;

/** unit of ours → field of `billed_units` */
const UNITS: Readonly<Record<string, string>> = {
  search_units: "search_units",
  images: "images",
  pages: "pages",
  classifications: "classifications",
};

/** Cohere reports actual and billed tokens; records hold the actual ones, the price is computed from the billed ones. */
export function cohereUsage(fields: Fields, operation: string): Usage {
  const billed = asFields(fields["billed_units"]) ?? {};
  const tokens = asFields(fields["tokens"]) ?? {};
  const billedInput = asCount(billed["input_tokens"]);
  const billedOutput = asCount(billed["output_tokens"]);
  const units: Record<string, number> = {};
  for (const [unit, field] of Object.entries(UNITS)) {
    const amount = asAmount(billed[field]);
    if (amount !== null && amount > 0) units[unit] = amount;
  }
  const input = asCount(tokens["input_tokens"]) ?? billedInput;
  const writesNothing = operation === "embeddings" && input !== null ? 0 : null;
  return usageOf({
    input,
    output: asCount(tokens["output_tokens"]) ?? billedOutput ?? writesNothing,
    cacheRead: asCount(fields["cached_tokens"]),
    billedInput,
    billedOutput,
    units,
  });
}
