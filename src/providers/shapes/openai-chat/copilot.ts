import type { Usage } from "../../../schema/usage.ts";
import { asCount, asFields, asList, sumKnown, usageOf } from "../fields.ts";

/** Copilot's `prompt_tokens` includes cache writes that only `copilot_usage.token_details[]` tells apart (gh-aw). */
export function withCopilotSplit(usage: Usage | null, details: unknown): Usage | null {
  const counts = new Map<unknown, number>();
  for (const entry of asList(details)) {
    const fields = asFields(entry);
    const count = asCount(fields?.["token_count"]);
    if (count !== null) counts.set(fields?.["token_type"], count);
  }
  if (counts.size === 0) return usage;
  const cacheRead = counts.get("cache_read") ?? null;
  const cacheWrite = counts.get("cache_write") ?? null;
  if (usage !== null) return { ...usage, cacheRead: cacheRead ?? usage.cacheRead, cacheWrite: cacheWrite ?? usage.cacheWrite };
  return usageOf({
    input: sumKnown(counts.get("input") ?? null, cacheRead, cacheWrite),
    output: counts.get("output") ?? null,
    cacheRead,
    cacheWrite,
  });
}
