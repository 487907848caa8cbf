/** Nano-US-dollars in one dollar. Money is counted in these, as bigint: a float drifts over a month of calls. */
export const NANO_PER_USD = 1_000_000_000;

/** Dollars as nano-dollars, rounded to the nearest; null for what is no amount. */
export function toNanoUsd(usd: number): bigint | null {
  if (!Number.isFinite(usd) || usd < 0) return null;
  const nano = Math.round(usd * NANO_PER_USD);
  return Number.isSafeInteger(nano) ? BigInt(nano) : null;
}

/** Nano-dollars as dollars, for records and people; `toNanoUsd` gives the same figure back up to a million dollars. */
export function fromNanoUsd(nano: bigint): number {
  return Number(nano) / NANO_PER_USD;
}
