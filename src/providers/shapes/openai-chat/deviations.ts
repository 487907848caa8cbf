import type { ProviderId } from "../../../schema/provider.ts";
import { asCount, sumKnown, type Fields } from "../fields.ts";

/** How a provider's usage object differs from OpenAI's own. A new provider of this shape is a row here, or nothing at all. */
export type Deviation = {
  /** `completion_tokens` leaves reasoning out (sub2api#5771, inspect_ai#5528) */
  readonly reasoningOutsideOutput?: true;
  /** input, where the usual field is absent */
  readonly inputOf?: (fields: Fields) => number | null;
};

export const DEVIATIONS: Readonly<Partial<Record<ProviderId, Deviation>>> = {
  xai: { reasoningOutsideOutput: true },
  deepseek: { inputOf: (fields) => sumKnown(asCount(fields["prompt_cache_hit_tokens"]), asCount(fields["prompt_cache_miss_tokens"])) },
};
