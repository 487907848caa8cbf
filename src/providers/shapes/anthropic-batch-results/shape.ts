import type { ExtraUsage, Usage } from "../../../schema/usage.ts";
import { asName, sumKnown, usageOf } from "../fields.ts";
import { ANTHROPIC_USAGE_FIELDS, anthropicUsage } from "../anthropic-messages/usage.ts";
import { MergedFields } from "../fields.ts";
import { NOTHING_READ, type ReaderOptions, type ReaderResult, type ResponseReader, type Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";

/** The results of an Anthropic batch: JSON lines, one message each, of possibly several models. Fetched again they are the same. */
export const anthropicBatchResults: Shape = {
  id: "anthropic-batch-results",
  request: {},
  response: responsePaths({ usage: ["result.message.usage"], model: ["result.message.model"] }, []),
  read: (options) => new BatchResultsReader(options),
};

/** a batch may name as many models as it has lines; the rest is summed under this name */
const MAX_MODELS = 32;
const OTHERS = "unknown";

class BatchResultsReader implements ResponseReader {
  readonly #options: ReaderOptions;
  readonly #models = new Map<string, Usage>();
  #model: string | null = null;
  #line: Usage | null = null;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  wants(): boolean {
    return true;
  }

  value(slot: string, value: unknown): void {
    if (slot === "model") {
      this.#model = asName(value);
      return;
    }
    const fields = new MergedFields(ANTHROPIC_USAGE_FIELDS);
    if (fields.merge(value) && fields.fields !== null) this.#line = anthropicUsage(fields.fields, this.#options.provider);
  }

  dropped(): void {
    // a usage object past the cap belongs to no honest line
  }

  document(): void {
    const line = this.#line;
    const named = this.#model ?? OTHERS;
    this.#line = null;
    this.#model = null;
    if (line === null) return;
    const model = this.#models.has(named) || this.#models.size < MAX_MODELS ? named : OTHERS;
    const known = this.#models.get(model);
    this.#models.set(model, known === undefined ? line : sum(known, line));
  }

  result(): ReaderResult {
    const [first, ...others] = this.#models;
    const extra = others.map(([model, usage]) => partOf(model, usage));
    return {
      ...NOTHING_READ,
      usage: first === undefined ? null : extra.length === 0 ? first[1] : { ...first[1], extra: [...(first[1].extra ?? []), ...extra] },
      responseModel: first?.[0] ?? null,
      serviceTier: "batch",
    };
  }
}

function partOf(model: string, usage: Usage): ExtraUsage {
  return { model, input: usage.input, cacheRead: usage.cacheRead, cacheWrite: usage.cacheWrite, output: usage.output };
}

function sum(a: Usage, b: Usage): Usage {
  const units: Record<string, number> = { ...a.units };
  for (const [unit, amount] of Object.entries(b.units)) units[unit] = (units[unit] ?? 0) + amount;
  const extra = [...(a.extra ?? []), ...(b.extra ?? [])].slice(0, MAX_MODELS);
  return {
    ...usageOf({
      input: sumKnown(a.input, b.input),
      output: sumKnown(a.output, b.output),
      cacheRead: sumKnown(a.cacheRead, b.cacheRead),
      cacheWrite: sumKnown(a.cacheWrite, b.cacheWrite),
      cacheWrite1h: sumKnown(a.cacheWrite1h, b.cacheWrite1h),
      reasoning: sumKnown(a.reasoning, b.reasoning),
      units,
    }),
    ...(extra.length === 0 ? {} : { extra }),
  };
}
