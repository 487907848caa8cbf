import { asFields, asName, firstCount, MergedFields } from "../fields.ts";
import { OPENAI_USAGE_FIELDS, openaiUsage } from "../openai-chat/usage.ts";
import type { ReaderOptions, ReaderResult, ResponseReader, Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";

/** OpenAI Responses: the response object is the body, or stands under `response` in the stream's lifecycle events. */
export const openaiResponses: Shape = {
  id: "openai-responses",
  request: {
    model: "model",
    stream: "stream",
    max_output_tokens: "maxOutputTokens",
    service_tier: "serviceTier",
  },
  response: responsePaths(
    {
      usage: ["usage", "response.usage"],
      tools: ["tool_usage", "response.tool_usage"],
      model: ["model", "response.model"],
      id: ["id", "response.id"],
      tier: ["service_tier", "response.service_tier"],
      status: ["status", "response.status"],
      error: ["error", "response.error"],
      type: ["type"],
    },
    ["delta"],
  ),
  read: (options) => new ResponsesReader(options),
};

class ResponsesReader implements ResponseReader {
  readonly #options: ReaderOptions;
  readonly #usage = new MergedFields(OPENAI_USAGE_FIELDS);
  #webSearches: number | null = null;
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
    else if (slot === "tools")
      this.#webSearches = firstCount(asFields(asFields(value)?.["web_search"])?.["num_requests"]) ?? this.#webSearches;
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
    const fields = this.#usage.fields;
    const usage = fields === null ? null : openaiUsage(fields, { provider: this.#options.provider, reasoningMayBeOutside: false });
    const searches = this.#webSearches ?? 0;
    return {
      usage: usage !== null && searches > 0 ? { ...usage, units: { ...usage.units, web_searches: searches } } : usage,
      outputIsPlaceholder: false,
      final: this.#status === "completed" || this.#status === "incomplete" || this.#status === "failed" || this.#status === "cancelled",
      responseModel: this.#model,
      responseId: this.#id,
      serviceTier: this.#tier,
      failed: this.#failed || this.#status === "failed",
      pending: this.#status === "queued" || this.#status === "in_progress",
    };
  }
}
