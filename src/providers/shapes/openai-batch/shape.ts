import { asName } from "../fields.ts";
import { OPENAI_USAGE_FIELDS, openaiUsage } from "../openai-chat/usage.ts";
import { shapeOf } from "../table-reader.ts";

const OVER: ReadonlySet<unknown> = new Set(["completed", "failed", "expired", "cancelled", "ended"]);

/** A batch as it is polled: its usage is what all its calls used, whole once it is over, at half the price. */
export const openaiBatch = shapeOf({
  id: "openai-batch",
  request: {},
  response: {
    usage: ["usage"],
    model: ["model"],
    id: ["id"],
    finish: ["status"],
  },
  fields: OPENAI_USAGE_FIELDS,
  tierIs: "batch",
  // a poll before the end shows what was used so far: counting that would keep the rest out, since the id is the same
  isPending: (status) => asName(status) !== null && !OVER.has(lower(status)),
  toUsage: (fields, { provider }) => openaiUsage(fields, { provider, reasoningMayBeOutside: true }),
});

/** Together writes COMPLETED. */
function lower(status: unknown): string | null {
  return asName(status)?.toLowerCase() ?? null;
}
