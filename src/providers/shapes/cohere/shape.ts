import { asName, MergedFields } from "../fields.ts";
import { NOTHING_READ, type ReaderOptions, type ReaderResult, type ResponseReader, type Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";
import { COHERE_USAGE_FIELDS, cohereUsage } from "./usage.ts";

/** Cohere v1 (`meta`, NDJSON `stream-end`) and v2 (`usage`, SSE `message-end`), chat, generate, embed, rerank. */
export const cohere: Shape = {
  id: "cohere",
  request: { model: "model", stream: "stream", max_tokens: "maxOutputTokens", num_generations: "choices" },
  response: responsePaths(
    {
      usage: ["usage", "delta.usage", "meta", "response.meta"],
      id: ["id", "generation_id", "response.generation_id"],
      finish: ["delta.finish_reason", "finish_reason"],
    },
    ["delta.message.content.text", "delta.message.tool_plan", "delta.message.tool_calls.function.arguments", "text"],
  ),
  read: (options) => new CohereReader(options),
};

class CohereReader implements ResponseReader {
  readonly #options: ReaderOptions;
  readonly #usage = new MergedFields(COHERE_USAGE_FIELDS);
  #id: string | null = null;
  #finish: string | null = null;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  wants(slot: string): boolean {
    return slot !== "id" || this.#id === null;
  }

  value(slot: string, value: unknown): void {
    if (value === null) return;
    if (slot === "usage") this.#usage.merge(value);
    else if (slot === "id") this.#id = asName(value);
    else if (slot === "finish") this.#finish = asName(value) ?? this.#finish;
  }

  dropped(): void {
    // nothing of Cohere's is large but what we do not ask for
  }

  result(): ReaderResult {
    const fields = this.#usage.fields;
    return {
      ...NOTHING_READ,
      usage: fields === null ? null : cohereUsage(fields, this.#options.operation),
      final: this.#finish !== null,
      responseId: this.#id,
      failed: this.#finish === "ERROR" || this.#finish === "ERROR_TOXIC",
    };
  }
}
