import { createRequire } from "node:module";
import type * as genaiPrices from "@pydantic/genai-prices";
import type { Usage as PricedUsage } from "@pydantic/genai-prices";
import type { PriceFile } from "../schema/price-file.ts";
import type { ProviderId } from "../schema/provider.ts";
import type { ExtraUsage, Usage } from "../schema/usage.ts";
import type { CostOfCall } from "./cost.ts";
import { multiplierOf, multiply } from "./multipliers.ts";
import { toNanoUsd } from "./nano.ts";
import { ownPrice, ownPriceRow, type OwnPrice, type PricedTokens } from "./own-prices.ts";
import { plainPrice, plainRow, type PlainRow } from "./plain-row.ts";

/** Our provider ids in the price table; absent ones have no prices there. Its remote updater is never called: the table is the pinned package. */
export const PRICE_PROVIDERS: Readonly<Partial<Record<ProviderId, string>>> = {
  openai: "openai",
  anthropic: "anthropic",
  google: "google",
  vertex: "google",
  deepseek: "deepseek",
  groq: "groq",
  mistral: "mistral",
  cohere: "cohere",
  together: "together",
  fireworks: "fireworks",
  xai: "x-ai",
  openrouter: "openrouter",
  azure: "azure",
  bedrock: "aws",
  cerebras: "cerebras",
  moonshot: "moonshotai",
};

let prices: typeof genaiPrices | undefined;

/** The table is large and only needed once a call has ended, so it is read then; at once, since the call's record waits for the price. */
export function priceTable(): typeof genaiPrices {
  prices ??= createRequire(import.meta.url)("@pydantic/genai-prices") as typeof genaiPrices;
  return prices;
}

/** Reads the table ahead of the first call that needs it. */
export function loadPrices(): void {
  priceTable();
}

export type CostOptions = {
  /** the operator's own prices and multipliers, `[llm].price_file` */
  readonly own?: PriceFile;
};

/**
 * The price of a call: the provider's own figure when it sends one, else the operator's, else the pinned price table's; tiers, batches,
 * fast mode and data residency multiply what the tokens cost. Null when it is not known in full.
 */
export function createCostOf(options: CostOptions = {}): CostOfCall {
  const own = options.own ?? NO_OWN;
  return (call) => {
    const { usage, provider } = call;
    if (usage.costReportedUsd !== null) return toNanoUsd(usage.costReportedUsd);
    const at = new Date(call.at);
    let sum = 0n;
    for (const part of partsOf(call.model, usage)) {
      const price = ownOf(own, provider, part) ?? tableOf(provider, part, at);
      const factor = multiplierOf({ provider, model: part.model, serviceTier: call.serviceTier, usage }, own.multipliers);
      // a sum that leaves a part out would look like a price
      if (price === null || price === "unpriced" || factor === null) return null;
      sum += multiply(price.tokens, factor) + price.rest;
    }
    return sum;
  };
}

const NO_OWN: PriceFile = { prices: [], multipliers: [] };

/** What one model used within a call. */
type Part = { readonly model: string; readonly tokens: PricedTokens; readonly usage: Usage | null };

/** The models of a call: its own, or those that served it together, and what others used beside them. */
function partsOf(model: string, usage: Usage): readonly Part[] {
  const extra = (usage.extra ?? []).map((one) => partOf(one));
  if (usage.parts !== undefined) return [...usage.parts.map((one) => partOf(one)), ...extra];
  const isBilled = usage.billedInput !== null || usage.billedOutput !== null;
  const tokens: PricedTokens = isBilled
    ? { input: usage.billedInput, output: usage.billedOutput, cacheRead: null, cacheWrite: null, cacheWrite1h: null }
    : usage;
  return [{ model, tokens: isBilled ? withZero(tokens) : tokens, usage }, ...extra];
}

function partOf({ model, input, output, cacheRead, cacheWrite }: ExtraUsage): Part {
  return { model, tokens: { input, output, cacheRead, cacheWrite, cacheWrite1h: null }, usage: null };
}

/** Cohere bills embeddings by their input alone. */
function withZero(tokens: PricedTokens): PricedTokens {
  return tokens.input !== null && tokens.output === null ? { ...tokens, output: 0 } : tokens;
}

/** `unpriced`: the operator's row is for this model, but not for what it used; null: no row fits. */
function ownOf(own: PriceFile, provider: ProviderId, part: Part): OwnPrice | "unpriced" | null {
  const row = ownPriceRow(own, provider, part.model);
  return row === undefined ? null : (ownPrice(row, part.tokens, part.usage?.units ?? {}) ?? "unpriced");
}

function tableOf(provider: ProviderId, part: Part, at: Date): OwnPrice | null {
  const providerId = PRICE_PROVIDERS[provider];
  if (providerId === undefined) return null;
  const quick = plainTokens(providerId, part);
  if (quick !== undefined) return { tokens: quick, rest: 0n };
  const tokens = tokenUsage(part);
  const units = unitUsage(part.usage);
  if (tokens === "half" || (tokens === null && units === null)) return null;
  const tokenPrice = tokens === null ? 0 : priceOf(tokens, part.model, providerId, at);
  const unitPrice = units === null ? 0 : priceOf(units, part.model, providerId, at);
  if (tokenPrice === null || unitPrice === null) return null;
  const nano = toNanoUsd(tokenPrice);
  const rest = toNanoUsd(unitPrice);
  return nano === null || rest === null ? null : { tokens: nano, rest };
}

/** What was found for a model name: a provider with that model alone gives the same price, and a plain row gives it without the table. */
type Found = { readonly provider: genaiPrices.Provider; readonly row: PlainRow | undefined };

/** The table looks for a model by matching hundreds of patterns one after another. */
const FOUND = new Map<string, Found>();
const MAX_FOUND = 500;
const MAX_MODEL = 128;

/** Dollars; null when the model is not in the table, or what was used has no price there. */
function priceOf(usage: PricedUsage, model: string, providerId: string, timestamp: Date): number | null {
  try {
    const key = keyOf(providerId, model);
    const known = FOUND.get(key)?.provider;
    const price = priceTable().calcPrice(usage, model, known === undefined ? { providerId, timestamp } : { provider: known, timestamp });
    if (price === null) return null;
    if (known === undefined && model.length <= MAX_MODEL) {
      if (FOUND.size >= MAX_FOUND) FOUND.clear();
      // prices that change with the time are the table's to choose from
      const row = Array.isArray(price.model.prices) ? undefined : plainRow(price.model_price);
      FOUND.set(key, { provider: { ...price.provider, models: [price.model] }, row });
    }
    return isPriced(usage, price.model_price) ? price.total_price : null;
  } catch {
    // the table refuses figures that contradict each other (cached > input): such a call has no known price
    return null;
  }
}

function keyOf(providerId: string, model: string): string {
  return `${providerId}\0${model}`;
}

/** Nano-dollars of a call that used nothing but text tokens, of a model that was found before; undefined for every other. */
function plainTokens(providerId: string, { model, tokens, usage }: Part): bigint | undefined {
  const row = FOUND.get(keyOf(providerId, model))?.row;
  if (row === undefined || (usage !== null && !isTextOnly(usage))) return undefined;
  const usd = plainPrice(row, tokens);
  return usd === undefined ? undefined : (toNanoUsd(usd) ?? undefined);
}

function isTextOnly({ inputAudio, outputAudio, inputImage, outputImage, units }: Usage): boolean {
  if ((inputAudio ?? 0) !== 0 || (outputAudio ?? 0) !== 0 || (inputImage ?? 0) !== 0 || (outputImage ?? 0) !== 0) return false;
  for (const unit in units) if (Object.hasOwn(units, unit)) return false;
  return true;
}

/** usage of ours → the prices of which the table must have one; without one it answers 0, which is no price */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  input_tokens: ["input_mtok"],
  output_tokens: ["output_mtok", "output_image_mtok", "output_audio_mtok"],
  web_searches: ["web_searches_kcount"],
  audio_seconds: ["audio_hours", "input_audio_hours"],
  input_document_pages: ["input_document_kpages"],
};

function isPriced(usage: PricedUsage, prices: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(NEEDS).every(([used, names]) => (usage[used] ?? 0) === 0 || names.some((name) => prices[name] !== undefined));
}

/** Null: no tokens were used; `half`: not all of it is known. */
function tokenUsage({ tokens, usage }: Part): PricedUsage | null | "half" {
  const { input, output } = tokens;
  if (input === null && output === null) return null;
  // half a price would look like a whole one
  if (input === null || output === null) return "half";
  const cacheRead = tokens.cacheRead ?? 0;
  const inputAudio = usage?.inputAudio ?? 0;
  const inputImage = usage?.inputImage ?? 0;
  return known({
    input_tokens: input,
    output_tokens: output,
    cache_read_tokens: tokens.cacheRead,
    cache_write_tokens: tokens.cacheWrite,
    cache_write_1h_tokens: tokens.cacheWrite1h,
    input_audio_tokens: usage?.billedInput == null ? (usage?.inputAudio ?? null) : null,
    output_audio_tokens: usage?.outputAudio ?? null,
    input_image_tokens: usage?.inputImage ?? null,
    output_image_tokens: usage?.outputImage ?? null,
    // the table wants to know how much of the cache was sound or pictures; what is not said was text, which is never too little
    cache_audio_read_tokens: cacheRead > 0 && inputAudio > 0 ? (usage?.cacheReadAudio ?? 0) : null,
    cache_image_read_tokens: cacheRead > 0 && inputImage > 0 ? 0 : null,
  });
}

/** What is paid by the piece and not by the token; null when there is none that the table may know. */
function unitUsage(usage: Usage | null): PricedUsage | null {
  const units = known({
    web_searches: usage?.units["web_searches"] ?? null,
    audio_seconds: usage?.units["audio_seconds"] ?? null,
    input_document_pages: usage?.units["pages"] ?? null,
  });
  return Object.keys(units).length === 0 ? null : units;
}

function known(fields: Readonly<Record<string, number | null>>): PricedUsage {
  const usage: PricedUsage = {};
  for (const [name, value] of Object.entries(fields)) if (value !== null) usage[name] = value;
  return usage;
}

const DEAREST = new Map<string, string | null>();
/** a call of ordinary size, below the steps of prices that grow with the context */
const ORDINARY: PricedUsage = { input_tokens: 10_000, output_tokens: 2_000 };

/** The dearest model that the table knows of a provider, for `unknown_price = "assume_max"`; null when it knows none. */
export function dearestModel(provider: ProviderId, at: number): string | null {
  const providerId = PRICE_PROVIDERS[provider];
  if (providerId === undefined) return null;
  const known = DEAREST.get(providerId);
  if (known !== undefined) return known;
  let dearest: { readonly model: string; readonly usd: number } | null = null;
  for (const { id } of priceTable().findProvider({ providerId })?.models ?? []) {
    const usd = priceOf(ORDINARY, id, providerId, new Date(at));
    if (usd !== null && usd > (dearest?.usd ?? 0)) dearest = { model: id, usd };
  }
  DEAREST.set(providerId, dearest?.model ?? null);
  return dearest?.model ?? null;
}
