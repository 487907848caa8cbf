import type { ProviderId } from "../../../schema/provider.ts";
import type { Usage } from "../../../schema/usage.ts";
import { reportedCost } from "../reported-cost.ts";
import { asAmount, asFields, firstCount, sumKnown, usageOf, type Fields } from "../fields.ts";
import { DEVIATIONS } from "./deviations.ts";

/** Fields of the `usage` object of chat, completions, embeddings, images and responses that mean something to us. */
export const OPENAI_USAGE_FIELDS = [
  "prompt_tokens",
  "completion_tokens",
  "input_tokens",
  "output_tokens",
  "total_tokens",
  "prompt_tokens_details",
  "prompt_token_details",
  "completion_tokens_details",
  "input_tokens_details",
  "input_token_details",
  "output_tokens_details",
  "output_token_details",
  "num_cached_tokens",
  "cached_tokens",
  "reasoning_tokens",
  "prompt_cache_hit_tokens",
  "prompt_cache_miss_tokens",
  "prompt_audio_seconds",
  "num_sources_used",
  "seconds",
  "cost",
  "cost_in_usd_ticks",
] as const;

/**
 * The OpenAI meaning (input includes cache, output includes reasoning) with what other providers of the shape do differently.
 * Figures that cannot be true under that meaning (cached > input, total = in + out + reasoning) show that a server counts otherwise.
 */
export function openaiUsage(fields: Fields, call: { readonly provider: ProviderId; readonly reasoningMayBeOutside: boolean }): Usage {
  const deviation = DEVIATIONS[call.provider];
  const inputDetails = details(fields, "prompt_tokens_details", "input_tokens_details", "prompt_token_details", "input_token_details");
  const outputDetails = details(fields, "completion_tokens_details", "output_tokens_details", "output_token_details");

  const total = firstCount(fields["total_tokens"]);
  let input = firstCount(fields["prompt_tokens"], fields["input_tokens"], deviation?.inputOf?.(fields));
  let output = firstCount(fields["completion_tokens"], fields["output_tokens"]);
  const cacheRead = firstCount(
    inputDetails["cached_tokens"],
    fields["num_cached_tokens"],
    fields["prompt_cache_hit_tokens"],
    fields["cached_tokens"],
  );
  const cacheWrite = firstCount(inputDetails["cache_write_tokens"]);
  const reasoning = firstCount(outputDetails["reasoning_tokens"], fields["reasoning_tokens"]);

  if (call.reasoningMayBeOutside && output !== null && reasoning !== null) {
    const inclusive = (input ?? 0) + output;
    const isOutside = total === null ? deviation?.reasoningOutsideOutput === true : total !== inclusive && total === inclusive + reasoning;
    if (isOutside) output += reasoning;
  }
  if (input !== null && cacheRead !== null && cacheRead > input) input = sumKnown(input, cacheRead, cacheWrite);
  // embeddings send no completion_tokens: the total says that there were none
  if (output === null && input !== null && total !== null && total >= input) output = total - input;

  const units: Record<string, number> = {};
  const seconds = asAmount(fields["seconds"]) ?? asAmount(fields["prompt_audio_seconds"]);
  if (seconds !== null) units["audio_seconds"] = seconds;
  const sources = asAmount(fields["num_sources_used"]);
  if (sources !== null && sources > 0) units["search_units"] = sources;
  return usageOf({
    input,
    output,
    total,
    cacheRead,
    cacheWrite,
    reasoning,
    inputAudio: firstCount(inputDetails["audio_tokens"]),
    outputAudio: firstCount(outputDetails["audio_tokens"]),
    units,
    costReportedUsd: reportedCost(call.provider, fields),
    ...cachedAudio(asFields(inputDetails["cached_tokens_details"])),
    ...writtenFor(asFields(inputDetails["cache_write_tokens_details"])),
    ...images(firstCount(inputDetails["image_tokens"]), firstCount(outputDetails["image_tokens"])),
  });
}

function cachedAudio(details: Fields | null): Pick<Usage, "cacheReadAudio"> {
  const tokens = firstCount(details?.["audio_tokens"]);
  return tokens === null ? {} : { cacheReadAudio: tokens };
}

const CACHE_TTLS = ["30m", "12h"] as const;

function writtenFor(details: Fields | null): Pick<Usage, "cacheWriteTtl"> {
  const found = CACHE_TTLS.map((ttl) => [ttl, firstCount(details?.[`ttl_${ttl}`])] as const).filter(([, tokens]) => tokens !== null);
  return found.length === 0 ? {} : { cacheWriteTtl: Object.fromEntries(found.map(([ttl, tokens]) => [ttl, tokens ?? 0])) };
}

function images(inputImage: number | null, outputImage: number | null): Pick<Usage, "inputImage" | "outputImage"> {
  return { ...(inputImage === null ? {} : { inputImage }), ...(outputImage === null ? {} : { outputImage }) };
}

function details(fields: Fields, ...names: readonly string[]): Fields {
  for (const name of names) {
    const found = asFields(fields[name]);
    if (found !== null) return found;
  }
  return {};
}
