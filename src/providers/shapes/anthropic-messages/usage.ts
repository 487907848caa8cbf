import type { ExtraUsage, Usage } from "../../../schema/usage.ts";
import type { ProviderId } from "../../../schema/provider.ts";
import { COST_FIELDS, reportedCost } from "../reported-cost.ts";
import { asCount, asFields, asList, asName, firstCount, sumKnown, usageOf, type Fields } from "../fields.ts";

/** Fields of Anthropic's `usage`; all are cumulative totals in a stream. */
export const ANTHROPIC_USAGE_FIELDS = [
  "input_tokens",
  "cache_creation_input_tokens",
  "cache_read_input_tokens",
  "cache_creation",
  "output_tokens",
  "output_tokens_details",
  "server_tool_use",
  "service_tier",
  "speed",
  "inference_geo",
  "iterations",
  ...COST_FIELDS,
] as const;

function named(key: "speed" | "geo", value: unknown): Pick<Usage, "speed" | "geo"> {
  const name = asName(value);
  return name === null ? {} : { [key]: name };
}

type Tokens = {
  readonly input: number | null;
  readonly cacheRead: number | null;
  readonly cacheWrite: number | null;
  readonly output: number | null;
};

/** Anthropic's `input_tokens` leaves the cache out: the total is input + cache creation + cache read (SDK doc comment). */
export function anthropicUsage(fields: Fields, provider: ProviderId): Usage {
  const { executor, extra } = withIterations(fields);
  const units: Record<string, number> = {};
  const tools = asFields(fields["server_tool_use"]);
  const searches = asCount(tools?.["web_search_requests"]) ?? 0;
  const fetches = asCount(tools?.["web_fetch_requests"]) ?? 0;
  if (searches > 0) units["web_searches"] = searches;
  if (fetches > 0) units["web_fetches"] = fetches;
  const usage = usageOf({
    input: executor.input === null ? null : sumKnown(executor.input, executor.cacheRead, executor.cacheWrite),
    output: executor.output,
    cacheRead: executor.cacheRead,
    cacheWrite: executor.cacheWrite,
    cacheWrite1h: firstCount(asFields(fields["cache_creation"])?.["ephemeral_1h_input_tokens"]),
    reasoning: firstCount(asFields(fields["output_tokens_details"])?.["thinking_tokens"]),
    units,
    costReportedUsd: reportedCost(provider, fields),
    ...named("speed", fields["speed"]),
    ...named("geo", fields["inference_geo"]),
  });
  return extra.length === 0 ? usage : { ...usage, extra };
}

/**
 * Compaction and advisor iterations are billed but stand outside the top-level totals; an advisor is another model. With a
 * fallback_message the top level already is what was served (as vercel/ai does it).
 */
function withIterations(fields: Fields): { readonly executor: Tokens; readonly extra: readonly ExtraUsage[] } {
  const top = tokensOf(fields);
  const iterations = asList(fields["iterations"])
    .map(asFields)
    .filter((entry) => entry !== null);
  if (iterations.length === 0 || iterations.some((entry) => entry["type"] === "fallback_message")) return { executor: top, extra: [] };
  const own = iterations.filter((entry) => entry["type"] === "message" || entry["type"] === "compaction").map(tokensOf);
  const extra = iterations.filter((entry) => entry["type"] === "advisor_message").map((entry) => extraOf(entry));
  if (own.length === 0) return { executor: top, extra };
  return {
    executor: {
      input: sumKnown(...own.map((entry) => entry.input)),
      cacheRead: sumKnown(...own.map((entry) => entry.cacheRead)),
      cacheWrite: sumKnown(...own.map((entry) => entry.cacheWrite)),
      output: sumKnown(...own.map((entry) => entry.output)),
    },
    extra,
  };
}

function extraOf(entry: Fields): ExtraUsage {
  const tokens = tokensOf(entry);
  return {
    model: asName(entry["model"]) ?? "unknown",
    input: tokens.input === null ? null : sumKnown(tokens.input, tokens.cacheRead, tokens.cacheWrite),
    cacheRead: tokens.cacheRead,
    cacheWrite: tokens.cacheWrite,
    output: tokens.output,
  };
}

function tokensOf(fields: Fields): Tokens {
  return {
    input: asCount(fields["input_tokens"]),
    cacheRead: asCount(fields["cache_read_input_tokens"]),
    cacheWrite: asCount(fields["cache_creation_input_tokens"]),
    output: asCount(fields["output_tokens"]),
  };
}
