import { asCount, sumKnown, usageOf } from "../fields.ts";
import { NOTHING_READ, type ReaderOptions, type ReaderResult, type ResponseReader, type Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";

/** Google's `:predict`: text embeddings count per prediction and in characters, Imagen is paid by the picture. */
export const googlePredict: Shape = {
  id: "google-predict",
  request: { "parameters.sampleCount": "choices" },
  response: responsePaths(
    {
      tokens: ["predictions.*.embeddings.statistics.token_count"],
      characters: ["metadata.billableCharacterCount"],
      error: ["error"],
    },
    [],
    { counts: { image: ["predictions.*.bytesBase64Encoded"] } },
  ),
  read: (options) => new PredictReader(options),
};

class PredictReader implements ResponseReader {
  readonly #options: ReaderOptions;
  #tokens: number | null = null;
  #characters: number | null = null;
  #images = 0;
  #failed = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  wants(): boolean {
    return true;
  }

  value(slot: string, value: unknown): void {
    if (slot === "tokens") this.#tokens = sumKnown(this.#tokens, asCount(value));
    else if (slot === "characters") this.#characters = asCount(value);
    else if (value !== null) this.#failed = true;
  }

  dropped(slot: string): void {
    if (slot === "error") this.#failed = true;
  }

  enter(): void {
    this.#images += 1;
  }

  result(): ReaderResult {
    const units: Record<string, number> = {};
    if (this.#characters !== null) units["characters"] = this.#characters;
    if (this.#images > 0) units["images"] = this.#images;
    const isKnown = this.#tokens !== null || Object.keys(units).length > 0;
    const output = this.#tokens !== null && this.#options.operation === "embeddings" ? 0 : null;
    return {
      ...NOTHING_READ,
      usage: isKnown ? usageOf({ input: this.#tokens, output, units }) : null,
      failed: this.#failed,
    };
  }
}
