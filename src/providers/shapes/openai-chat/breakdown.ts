import type { ProviderId } from "../../../schema/provider.ts";
import type { ExtraUsage, Usage } from "../../../schema/usage.ts";
import { asFields, asList, asName, sumKnown, usageOf } from "../fields.ts";
import { openaiUsage } from "./usage.ts";

/**
 * Groq's compound systems say per model what they used (`usage_breakdown.models[]`). The call's own totals already hold these
 * tokens, so they are never added; the models are what is priced.
 */
export function withBreakdown(usage: Usage | null, models: unknown, provider: ProviderId): Usage | null {
  const parts: ExtraUsage[] = [];
  for (const entry of asList(models)) {
    const fields = asFields(entry);
    const own = asFields(fields?.["usage"]);
    const model = asName(fields?.["model"]);
    if (own === null || model === null) continue;
    const { input, output, cacheRead, cacheWrite } = openaiUsage(own, { provider, reasoningMayBeOutside: true });
    parts.push({ model, input, output, cacheRead, cacheWrite });
  }
  if (parts.length === 0) return usage;
  const total =
    usage ?? usageOf({ input: sumKnown(...parts.map((part) => part.input)), output: sumKnown(...parts.map((part) => part.output)) });
  return { ...total, parts };
}
