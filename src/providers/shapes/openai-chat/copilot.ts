import type { Usage } from "../../../schema/usage.ts";
import { asCount, asFields, asList } from "../fields.ts";

/** Copilot's `prompt_tokens` includes cache writes that only `copilot_usage.token_details[]` tells apart. */
export function copilotSplit(details: unknown): Partial<Pick<Usage, "cacheRead" | "cacheWrite">> {
  const counts = new Map<unknown, number>();
  for (const entry of asList(details)) {
    const fields = asFields(entry);
    const count = asCount(fields?.["token_count"]);
    if (count !== null) counts.set(fields?.["token_type"], count);
  }
  const cacheRead = counts.get("cache_read");
  const cacheWrite = counts.get("cache_write");
  return { ...(cacheRead === undefined ? {} : { cacheRead }), ...(cacheWrite === undefined ? {} : { cacheWrite }) };
}
