import type { ProviderId } from "../../schema/provider.ts";
import { asAmount, type Fields } from "./fields.ts";

/** Where a provider states the money within its usage object, in whatever shape it answers; so many of the unit are one dollar. */
const COSTS: Readonly<Partial<Record<ProviderId, { readonly field: string; readonly perUsd: number }>>> = {
  xai: { field: "cost_in_usd_ticks", perUsd: 1e10 },
  openrouter: { field: "cost", perUsd: 1 },
};

export const COST_FIELDS = ["cost", "cost_in_usd_ticks"] as const;

export function reportedCost(provider: ProviderId, fields: Fields): number | null {
  const place = COSTS[provider];
  if (place === undefined) return null;
  const amount = asAmount(fields[place.field]);
  return amount === null ? null : amount / place.perUsd;
}
