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
] as const;

/** Google's prompt includes the cache but not tool-use prompts, and its candidates leave thoughts out; its total sums all four. */
export function googleUsage(fields: Fields): Usage {
  const prompt = asCount(fields["promptTokenCount"]);
  const input = prompt === null ? null : sumKnown(prompt, asCount(fields["toolUsePromptTokenCount"]));
  const thoughts = asCount(fields["thoughtsTokenCount"]);
  const total = asCount(fields["totalTokenCount"]);
  let output = sumKnown(firstCount(fields["candidatesTokenCount"], fields["responseTokenCount"]), thoughts);
  // a blocked prompt has no candidates: the total says that nothing was written
  if (output === null && input !== null && total !== null && total >= input) output = total - input;
  return usageOf({
    input,
    output,
    total,
    cacheRead: asCount(fields["cachedContentTokenCount"]),
    reasoning: thoughts,
    inputAudio: audioTokens(fields["promptTokensDetails"]),
    outputAudio: audioTokens(fields["candidatesTokensDetails"]),
  });
}

function audioTokens(details: unknown): number | null {
  for (const entry of asList(details)) {
    const fields = asFields(entry);
    if (fields?.["modality"] === "AUDIO") return asCount(fields["tokenCount"]);
  }
  return null;
}
