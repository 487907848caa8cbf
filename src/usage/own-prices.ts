import type { PriceFile } from "../schema/price-file.ts";
import type { ProviderId } from "../schema/provider.ts";
import type { Usage } from "../schema/usage.ts";
import { matchesModel } from "./model-glob.ts";
import { toNanoUsd } from "./nano.ts";

/** Tokens of one call; null where a count is unknown. */
export type PricedTokens = Pick<Usage, "input" | "output" | "cacheRead" | "cacheWrite" | "cacheWrite1h">;

type Row = PriceFile["prices"][number];

/** The operator's price of a model: what the tokens cost and what the rest does, apart, since a tier multiplies only the tokens. */
export type OwnPrice = { readonly tokens: bigint; readonly rest: bigint };

const PER = 1_000_000n;

/** The first row that fits; undefined when none does. */
export function ownPriceRow(file: PriceFile, provider: ProviderId, model: string): Row | undefined {
  return file.prices.find((row) => (row.provider === undefined || row.provider === provider) && matchesModel(row.model, model));
}

/**
 * Nano-dollars of one call under the operator's row. Null when what was used is not known, or the row has no price for it: half a
 * price would look like a whole one.
 */
export function ownPrice(row: Row, tokens: PricedTokens, units: Usage["units"]): OwnPrice | null {
  const used = tokensPrice(row, tokens);
  if (used === null) return null;
  let rest = nano(row.request ?? 0);
  let isPriced = used.isPriced || row.request !== undefined;
  for (const [unit, amount] of Object.entries(units)) {
    const price = Object.hasOwn(row.units, unit) ? row.units[unit] : undefined;
    if (price === undefined) continue;
    // seconds and search units may have fractions: a millionth of a unit is exact enough
    rest += round(nano(price) * BigInt(Math.round(amount * 1_000_000)), PER);
    isPriced = true;
  }
  return isPriced ? { tokens: used.nano, rest } : null;
}

function tokensPrice(row: Row, tokens: PricedTokens): { readonly nano: bigint; readonly isPriced: boolean } | null {
  const { input, output } = tokens;
  // a call that is paid by the picture or the page has no tokens at all
  if (input === null && output === null) return { nano: 0n, isPriced: false };
  if (input === null || output === null) return null;
  if ((input > 0 && row.input === undefined) || (output > 0 && row.output === undefined)) return null;
  const read = tokens.cacheRead ?? 0;
  const hourly = Math.min(tokens.cacheWrite1h ?? 0, tokens.cacheWrite ?? 0);
  const written = (tokens.cacheWrite ?? 0) - hourly;
  const plain = input - read - written - hourly;
  if (plain < 0) return null;
  const base = row.input ?? 0;
  const write = row.cache_write ?? base;
  const sum =
    BigInt(plain) * nano(base) +
    BigInt(read) * nano(row.cache_read ?? base) +
    BigInt(written) * nano(write) +
    BigInt(hourly) * nano(row.cache_write_1h ?? write) +
    BigInt(output) * nano(row.output ?? 0);
  return { nano: round(sum, PER), isPriced: true };
}

/** The schema bounds prices far below what a safe integer of nano-dollars holds. */
function nano(usd: number): bigint {
  return toNanoUsd(usd) ?? 0n;
}

function round(value: bigint, by: bigint): bigint {
  return (value * 2n + by) / (by * 2n);
}
