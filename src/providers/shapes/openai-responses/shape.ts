import type { Usage } from "../../../schema/usage.ts";
import { asFields, asName, MergedFields, type Fields } from "../fields.ts";
import { OPENAI_USAGE_FIELDS, openaiUsage } from "../openai-chat/usage.ts";
import type { ReaderOptions, ReaderResult, ResponseReader, Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";
import { hostedTools } from "./hosted-tools.ts";

/** OpenAI Responses: the response object is the body, or stands under `response` in the stream's lifecycle events. */
export const openaiResponses: Shape = {
  id: "openai-responses",
  request: {
    model: "model",
    stream: "stream",
    max_output_tokens: "maxOutputTokens",
    service_tier: "serviceTier",
    previous_response_id: "previous",
    // an id, or an object that has it
    conversation: "conversation",
  },
  response: responsePaths(
    {
      // `turn` is what an agent session calls it
      usage: ["usage", "response.usage", "turn.usage"],
      tools: ["tool_usage", "response.tool_usage"],
      model: ["model", "response.model"],
      id: ["id", "response.id", "turn.id"],
      tier: ["service_tier", "response.service_tier"],
      status: ["status", "response.status", "turn.status"],
      background: ["background", "response.background"],
      error: ["error", "response.error"],
      type: ["type"],
    },
    ["delta"],
  ),
  read: (options) => new ResponsesReader(options),
};

/** Also reads what a Responses WebSocket says, one response after the other. */
export class ResponsesReader implements ResponseReader {
  readonly #options: ReaderOptions;
  readonly #usage = new MergedFields(OPENAI_USAGE_FIELDS);
  #tools: Fields | null = null;
  /** a response made in the background; one that is fetched and was not is counted where it was made */
  #background: unknown = null;
  #model: string | null = null;
  #id: string | null = null;
  #tier: string | null = null;
  #status: string | null = null;
  #failed = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  wants(slot: string): boolean {
    return slot !== "id" || this.#id === null;
  }

  value(slot: string, value: unknown): void {
    if (value === null) return;
    if (slot === "usage") this.#usage.merge(value);
    else if (slot === "tools") this.#tools = asFields(value) ?? this.#tools;
    else if (slot === "background") this.#background = value;
    else if (slot === "model") this.#model = asName(value) ?? this.#model;
    else if (slot === "id") this.#id = asName(value);
    else if (slot === "tier") this.#tier = asName(value) ?? this.#tier;
    else if (slot === "status") this.#status = asName(value) ?? this.#status;
    else if (slot === "error") this.#failed = true;
    else if (slot === "type" && value === "error") this.#failed = true;
  }

  dropped(slot: string): void {
    if (slot === "error") this.#failed = true;
  }

  result(): ReaderResult {
    return {
      usage: this.#isElsewhere() ? null : this.#total(),
      outputIsPlaceholder: false,
      final: this.#status === "completed" || this.#status === "incomplete" || this.#status === "failed" || this.#status === "cancelled",
      responseModel: this.#model,
      responseId: this.#id,
      serviceTier: this.#tier,
      failed: this.#failed || this.#status === "failed",
      pending: this.#isElsewhere() || this.#status === "queued" || this.#status === "in_progress",
    };
  }

  #isElsewhere(): boolean {
    return this.#options.operation === "fetch_response" && this.#background === false;
  }

  #total(): Usage | null {
    const fields = this.#usage.fields;
    if (fields === null) return null;
    const usage = openaiUsage(fields, { provider: this.#options.provider, reasoningMayBeOutside: false });
    const tools = hostedTools(this.#tools, this.#options.provider);
    const extra = tools.extra.length === 0 ? {} : { extra: tools.extra };
    return { ...usage, units: { ...usage.units, ...tools.units }, ...extra };
  }
}
