import { asName, MergedFields } from "../fields.ts";
import { NOTHING_READ, type ReaderOptions, type ReaderResult, type ResponseReader, type Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";
import { withBreakdown } from "./breakdown.ts";
import { withCopilotSplit } from "./copilot.ts";
import { OPENAI_USAGE_FIELDS, openaiUsage } from "./usage.ts";

/** Chat completions, legacy completions, embeddings: `usage` at the top, or in the last chunks of a stream. */
export const openaiChat: Shape = {
  id: "openai-chat",
  request: {
    model: "model",
    // Mistral's agents
    agent_id: "agent",
    stream: "stream",
    stream_options: "streamOptions",
    max_tokens: "maxOutputTokens",
    max_completion_tokens: "maxOutputTokens",
    n: "choices",
    service_tier: "serviceTier",
  },
  response: responsePaths(
    {
      // Groq sends the same figures under x_groq, Moonshot in a choice; the last wins, they are never added
      usage: ["usage", "x_groq.usage", "choices.*.usage"],
      copilot: ["copilot_usage.token_details"],
      breakdown: ["usage_breakdown.models", "x_groq.usage_breakdown.models"],
      model: ["model"],
      id: ["id"],
      tier: ["service_tier"],
      finish: ["choices.*.finish_reason"],
      error: ["error"],
    },
    [
      "choices.*.delta.content",
      "choices.*.delta.reasoning_content",
      "choices.*.delta.reasoning",
      "choices.*.delta.refusal",
      "choices.*.delta.tool_calls.*.function.arguments",
      "choices.*.delta.function_call.arguments",
      "choices.*.text",
    ],
  ),
  read: (options) => new ChatReader(options),
};

class ChatReader implements ResponseReader {
  readonly #options: ReaderOptions;
  readonly #usage = new MergedFields(OPENAI_USAGE_FIELDS);
  #copilot: unknown = null;
  #breakdown: unknown = null;
  #model: string | null = null;
  #id: string | null = null;
  #tier: string | null = null;
  #finished = false;
  #failed = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  wants(slot: string): boolean {
    if (slot === "model") return this.#model === null;
    if (slot === "id") return this.#id === null;
    return true;
  }

  value(slot: string, value: unknown): void {
    if (value === null) return;
    if (slot === "usage") this.#usage.merge(value);
    else if (slot === "copilot") this.#copilot = value;
    else if (slot === "breakdown") this.#breakdown = value;
    else if (slot === "model") this.#model = asName(value);
    else if (slot === "id") this.#id = asName(value);
    else if (slot === "tier") this.#tier = asName(value) ?? this.#tier;
    else if (slot === "finish") this.#finished = true;
    else if (slot === "error") this.#failed = true;
  }

  dropped(slot: string): void {
    if (slot === "error") this.#failed = true;
  }

  result(): ReaderResult {
    const { provider } = this.#options;
    const fields = this.#usage.fields;
    const usage = fields === null ? null : openaiUsage(fields, { provider, reasoningMayBeOutside: true });
    return {
      ...NOTHING_READ,
      usage: withBreakdown(withCopilotSplit(usage, this.#copilot), this.#breakdown, provider),
      final: this.#finished,
      responseModel: this.#model,
      responseId: this.#id,
      serviceTier: this.#tier,
      failed: this.#failed,
    };
  }
}
