import { GOOGLE_USAGE_FIELDS, googleUsage } from "../google-generate-content/usage.ts";
import { asFields, asName, MergedFields, sumKnown, usageOf } from "../fields.ts";
import { NOTHING_READ, type ReaderOptions, type ReaderResult, type ResponseReader, type Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";
import type { Usage } from "../../../schema/usage.ts";

const RESPONSES = ["response", "metadata.output"].map((path) => `${path}.inlinedResponses.inlinedResponses.*.response.usageMetadata`);

/** A Gemini batch as it is polled: when it is done, its inlined responses have the usage, at half the price. */
export const googleBatch: Shape = {
  id: "google-batch",
  request: {},
  response: responsePaths({ usage: RESPONSES, model: ["metadata.model"], done: ["done"] }, []),
  read: (options) => new GoogleBatchReader(options),
};

class GoogleBatchReader implements ResponseReader {
  readonly #options: ReaderOptions;
  #sum: Usage | null = null;
  #model: string | null = null;
  #done = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  wants(): boolean {
    return true;
  }

  value(slot: string, value: unknown): void {
    if (slot === "done") this.#done = value === true;
    else if (slot === "model") this.#model = asName(value)?.replace(/^models\//, "") ?? null;
    else if (asFields(value) !== null) this.#add(value);
  }

  dropped(): void {
    // a usage object past the cap belongs to no honest response
  }

  result(): ReaderResult {
    return {
      ...NOTHING_READ,
      usage: this.#done ? this.#sum : null,
      final: this.#done,
      responseModel: this.#model,
      serviceTier: "batch",
      pending: !this.#done,
    };
  }

  #add(value: unknown): void {
    const fields = new MergedFields(GOOGLE_USAGE_FIELDS);
    if (!fields.merge(value) || fields.fields === null) return;
    const one = googleUsage(fields.fields, this.#options.operation);
    const sum = this.#sum;
    this.#sum = usageOf({
      input: sumKnown(sum?.input ?? null, one.input),
      output: sumKnown(sum?.output ?? null, one.output),
      total: sumKnown(sum?.total ?? null, one.total),
      cacheRead: sumKnown(sum?.cacheRead ?? null, one.cacheRead),
      reasoning: sumKnown(sum?.reasoning ?? null, one.reasoning),
    });
  }
}
