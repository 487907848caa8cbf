import { asName, MergedFields } from "../fields.ts";
import type { ReaderOptions, ReaderResult, ResponseReader, Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";
import { ANTHROPIC_USAGE_FIELDS, anthropicUsage } from "./usage.ts";

/**
 * Anthropic Messages. A stream starts from `message_start.message.usage`; every `message_delta.usage` replaces the fields it
 * has and that are not null (all are cumulative; the SDK's MessageStream does the same).
 */
export const anthropicMessages: Shape = {
  id: "anthropic-messages",
  request: {
    model: "model",
    stream: "stream",
    max_tokens: "maxOutputTokens",
    max_tokens_to_sample: "maxOutputTokens",
    service_tier: "serviceTier",
  },
  response: responsePaths(
    {
      start: ["message.usage"],
      usage: ["usage"],
      model: ["model", "message.model"],
      id: ["id", "message.id"],
      error: ["error"],
    },
    ["delta.text", "delta.partial_json", "delta.thinking"],
  ),
  read: (options) => new MessagesReader(options),
};

class MessagesReader implements ResponseReader {
  readonly #options: ReaderOptions;
  readonly #usage = new MergedFields(ANTHROPIC_USAGE_FIELDS);
  #model: string | null = null;
  #id: string | null = null;
  #hasFinalUsage = false;
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
    if (slot === "start") this.#usage.merge(value);
    else if (slot === "usage") this.#hasFinalUsage = this.#usage.merge(value) || this.#hasFinalUsage;
    else if (slot === "model") this.#model = asName(value);
    else if (slot === "id") this.#id = asName(value);
    else if (slot === "error") this.#failed = true;
  }

  dropped(slot: string): void {
    if (slot === "error") this.#failed = true;
  }

  result(): ReaderResult {
    const fields = this.#usage.fields;
    return {
      usage: fields === null ? null : anthropicUsage(fields, this.#options.provider),
      // message_start carries 1 to 8 output tokens, whatever the answer will be
      outputIsPlaceholder: !this.#hasFinalUsage,
      final: this.#hasFinalUsage,
      responseModel: this.#model,
      responseId: this.#id,
      serviceTier: asName(this.#usage.get("service_tier")),
      failed: this.#failed,
      pending: false,
    };
  }
}
