import { asCount, sumKnown } from "../fields.ts";
import { OPENAI_USAGE_FIELDS, openaiUsage } from "../openai-chat/usage.ts";
import { shapeOf } from "../table-reader.ts";

/** Mistral Conversations: an agent or a model, usage on the last event (`conversation.response.done`), connector tokens beside the prompt. */
export const mistralConversations = shapeOf({
  id: "mistral-conversations",
  request: { model: "model", agent_id: "agent", stream: "stream", "completion_args.max_tokens": "maxOutputTokens" },
  response: {
    usage: ["usage"],
    model: ["model"],
    id: ["conversation_id"],
    error: ["error"],
    text: ["content", "content.text"],
  },
  usageEnds: true,
  fields: [...OPENAI_USAGE_FIELDS, "connector_tokens"],
  toUsage: (fields, { provider }) => {
    const usage = openaiUsage(fields, { provider, reasoningMayBeOutside: false });
    // total = prompt + completion + connectors: what connectors put before the model was read by it
    const connectors = asCount(fields["connector_tokens"]);
    const isOutside = connectors !== null && usage.total !== null && usage.total === (usage.input ?? 0) + (usage.output ?? 0) + connectors;
    return isOutside ? { ...usage, input: sumKnown(usage.input, connectors) } : usage;
  },
});
