import { asName, MergedFields } from "../fields.ts";
import { NOTHING_READ, type ReaderOptions, type ReaderResult, type ResponseReader, type Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";
import { GOOGLE_USAGE_FIELDS, googleUsage } from "./usage.ts";

/** Gemini generateContent: model and method stand in the path; a stream is SSE, one JSON array, or one plain object. */
export const googleGenerateContent: Shape = {
  id: "google-generate-content",
  request: {
    // of what is not below a model: a cache
    model: "model",
    "generationConfig.maxOutputTokens": "maxOutputTokens",
    "generationConfig.candidateCount": "choices",
    // proto3 JSON takes the field names of the .proto file too
    "generation_config.max_output_tokens": "maxOutputTokens",
    "generation_config.candidate_count": "choices",
    serviceTier: "serviceTier",
    service_tier: "serviceTier",
  },
  response: responsePaths(
    {
      usage: ["usageMetadata"],
      model: ["modelVersion"],
      id: ["responseId"],
      finish: ["candidates.*.finishReason", "promptFeedback.blockReason"],
      error: ["error"],
    },
    ["candidates.*.content.parts.*.text"],
    { unwrapsArray: true },
  ),
  read: (options) => new GenerateContentReader(options),
};

class GenerateContentReader implements ResponseReader {
  readonly #options: ReaderOptions;
  readonly #usage = new MergedFields(GOOGLE_USAGE_FIELDS);
  #model: string | null = null;
  #id: string | null = null;
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
    else if (slot === "model") this.#model = asName(value);
    else if (slot === "id") this.#id = asName(value);
    else if (slot === "finish") this.#finished = true;
    else if (slot === "error") this.#failed = true;
  }

  dropped(slot: string): void {
    if (slot === "error") this.#failed = true;
  }

  result(): ReaderResult {
    const fields = this.#usage.fields;
    return {
      ...NOTHING_READ,
      usage: fields === null ? null : googleUsage(fields, this.#options.operation),
      final: this.#finished,
      responseModel: this.#model,
      responseId: this.#id,
      failed: this.#failed,
    };
  }
}
