import type { Usage } from "../../../schema/usage.ts";
import { asCount, asFields, asList, sumKnown, usageOf, type Fields } from "../fields.ts";

export const CONVERSE_USAGE_FIELDS = [
  "inputTokens",
  "outputTokens",
  "totalTokens",
  "cacheReadInputTokens",
  "cacheWriteInputTokens",
  // older spellings of the same two
  "cacheReadInputTokenCount",
  "cacheWriteInputTokenCount",
  "cacheDetails",
] as const;

/** Converse leaves the cache out of `inputTokens` (opencode#38427); its total sums all four. */
export function converseUsage(fields: Fields): Usage {
  const cacheRead = asCount(fields["cacheReadInputTokens"]) ?? asCount(fields["cacheReadInputTokenCount"]);
  const cacheWrite = asCount(fields["cacheWriteInputTokens"]) ?? asCount(fields["cacheWriteInputTokenCount"]);
  const input = asCount(fields["inputTokens"]);
  return usageOf({
    input: input === null ? null : sumKnown(input, cacheRead, cacheWrite),
    output: asCount(fields["outputTokens"]),
    total: asCount(fields["totalTokens"]),
    cacheRead,
    cacheWrite,
    cacheWrite1h: hourly(fields["cacheDetails"]),
  });
}

function hourly(details: unknown): number | null {
  for (const entry of asList(details)) {
    const fields = asFields(entry);
    if (fields?.["ttl"] === "1h") return asCount(fields["inputTokens"]);
  }
  return null;
}
