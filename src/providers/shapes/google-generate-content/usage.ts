import type { Usage } from "../../../schema/usage.ts";
import { asCount, asFields, asList, firstCount, sumKnown, usageOf, type Fields } from "../fields.ts";

/** Fields of `usageMetadata`; cumulative on every chunk. */
export const GOOGLE_USAGE_FIELDS = [
  "promptTokenCount",
  "candidatesTokenCount",
  "responseTokenCount",
  "thoughtsTokenCount",
  "toolUsePromptTokenCount",
  "cachedContentTokenCount",
  "totalTokenCount",
  "promptTokensDetails",
  "candidatesTokensDetails",
  "responseTokensDetails",
] as const;

/** Google's prompt includes the cache but not tool-use prompts, and its candidates leave thoughts out; its total sums all four. */
export function googleUsage(fields: Fields, operation = "generate_content"): Usage {
  const prompt = asCount(fields["promptTokenCount"]);
  const thoughts = asCount(fields["thoughtsTokenCount"]);
  const total = asCount(fields["totalTokenCount"]);
  // what is put into a cache is a prompt and nothing else
  const whole = operation === "create_cache" ? (prompt ?? total) : prompt;
  const input = whole === null ? null : sumKnown(whole, asCount(fields["toolUsePromptTokenCount"]));
  const written = fields["candidatesTokensDetails"] ?? fields["responseTokensDetails"];
  let output = sumKnown(firstCount(fields["candidatesTokenCount"], fields["responseTokenCount"]), thoughts);
  // a blocked prompt has no candidates: the total says that nothing was written
  if (output === null && input !== null && total !== null && total >= input) output = total - input;
  if (output === null && input !== null && operation === "embeddings") output = 0;
  return usageOf({
    input,
    output,
    total,
    cacheRead: asCount(fields["cachedContentTokenCount"]),
    reasoning: thoughts,
    inputAudio: modality(fields["promptTokensDetails"], "AUDIO"),
    outputAudio: modality(written, "AUDIO"),
    ...(modality(written, "IMAGE") === null ? {} : { outputImage: modality(written, "IMAGE") ?? 0 }),
  });
}

function modality(details: unknown, name: string): number | null {
  for (const entry of asList(details)) {
    const fields = asFields(entry);
    if (fields?.["modality"] === name) return asCount(fields["tokenCount"]);
  }
  return null;
}
