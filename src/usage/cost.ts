import type { Usage } from "../schema/usage.ts";
import type { ProviderId } from "../schema/provider.ts";

/** Price of one call in nano-US-dollars (10⁻⁹ USD), null when the model's price is unknown. */
export type CostOfCall = (call: {
  readonly provider: ProviderId;
  readonly model: string;
  readonly usage: Usage;
  readonly serviceTier: string | null;
  /** ms since 1970, for prices that changed over time */
  readonly at: number;
}) => bigint | null;
