import type { PricedTokens } from "./own-prices.ts";

/** A price for a million tokens in dollars, or steps of it by the size of the input. */
type Price = number | { readonly base: number; readonly tiers: readonly { readonly start: number; readonly price: number }[] };

/** The prices of a model for text tokens, in the order of the table's row; its sums depend on that order. */
export type PlainRow = readonly { readonly kind: Kind; readonly price: Price }[];

type Kind = "input" | "output" | "cacheRead" | "cacheWrite";

const KINDS: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ["input_mtok", "input"],
  ["output_mtok", "output"],
  ["cache_read_mtok", "cacheRead"],
  ["cache_write_mtok", "cacheWrite"],
]);

const PER = 1e6;

/** The part of a row that prices text; undefined for a row that does not price both directions, or charges for the request itself. */
export function plainRow(prices: Readonly<Record<string, unknown>>): PlainRow | undefined {
  if (prices["input_mtok"] === undefined || prices["output_mtok"] === undefined || prices["requests_kcount"] !== undefined)
    return undefined;
  const row: { kind: Kind; price: Price }[] = [];
  for (const [name, price] of Object.entries(prices)) {
    const kind = KINDS.get(name);
    if (kind === undefined || price === undefined) continue;
    if (!isPrice(price)) return undefined;
    row.push({ kind, price });
  }
  return row;
}

function isPrice(price: unknown): price is Price {
  return typeof price === "number" || (typeof price === "object" && price !== null && "base" in price && "tiers" in price);
}

/**
 * Dollars of text tokens, by the table's own arithmetic and in its order, so that both give the same figure to the last bit.
 * Undefined when the tokens contradict each other or are of kinds that this does not know.
 */
export function plainPrice(row: PlainRow, tokens: PricedTokens): number | undefined {
  const { input, output, cacheRead, cacheWrite } = tokens;
  if (input === null || output === null || (tokens.cacheWrite1h ?? 0) !== 0) return undefined;
  // what the row has no price of its own for is ordinary input
  let plain = input;
  for (const { kind } of row) if (kind === "cacheRead" || kind === "cacheWrite") plain -= tokens[kind] ?? 0;
  if (plain < 0 || (cacheRead ?? 0) + (cacheWrite ?? 0) > input) return undefined;
  let [inputUsd, outputUsd] = [0, 0];
  for (const { kind, price } of row) {
    const usd = priceOf(price, kind === "input" ? plain : (tokens[kind] ?? 0), input);
    if (kind === "output") outputUsd += usd;
    else inputUsd += usd;
  }
  return inputUsd + outputUsd;
}

function priceOf(price: Price, tokens: number, input: number): number {
  if (typeof price === "number") return (price * tokens) / PER;
  if (tokens <= 0) return 0;
  let step = price.base;
  for (const { price: next, start } of price.tiers) if (input > start) step = next;
  // multiplied and divided again, as the table does
  return (((step * tokens) / PER) * PER) / PER;
}
