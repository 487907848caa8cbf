import type { ProviderId } from "../../../schema/provider.ts";
import type { ExtraUsage } from "../../../schema/usage.ts";
import { asCount, asFields, asName, type Fields } from "../fields.ts";
import { openaiUsage } from "../openai-chat/usage.ts";

/** What hosted tools used: it stands outside `usage` and is billed by the search, or under the image model. */
export function hostedTools(
  tools: Fields | null,
  provider: ProviderId,
): { readonly units: Readonly<Record<string, number>>; readonly extra: readonly ExtraUsage[] } {
  const searches = asCount(asFields(tools?.["web_search"])?.["num_requests"]) ?? 0;
  const drawn = asFields(tools?.["image_gen"]);
  const { input, output, cacheRead, cacheWrite } = openaiUsage(drawn ?? {}, { provider, reasoningMayBeOutside: false });
  const isUsed = (input ?? 0) + (output ?? 0) > 0;
  return {
    units: searches > 0 ? { web_searches: searches } : {},
    extra: isUsed ? [{ model: asName(drawn?.["model"]) ?? "unknown", input, output, cacheRead, cacheWrite }] : [],
  };
}
