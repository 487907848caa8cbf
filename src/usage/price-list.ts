import type * as genaiPrices from "@pydantic/genai-prices";
import type { LlmPrice } from "../schema/llm-catalog.ts";
import type { PriceFile } from "../schema/price-file.ts";
import type { ProviderId } from "../schema/provider.ts";
import { PROVIDER_IDS } from "../schema/provider-ids.ts";
import { PRICE_PROVIDERS, priceTable } from "./genai-prices.ts";
import { matchesModel } from "./model-glob.ts";
import { ownPriceRow } from "./own-prices.ts";

export type PriceQuery = {
  readonly provider?: ProviderId;
  /** a pattern with `*`, which names of the tables are held against, or one model, which is looked up as a call of it would be */
  readonly model?: string;
};

/** The operator's rows and those of the pinned table, as they hold at a time. */
export function listPrices(query: PriceQuery, own: PriceFile | undefined, at: number): readonly LlmPrice[] {
  const { model } = query;
  const time = new Date(at);
  const providers = query.provider === undefined ? PROVIDER_IDS : [query.provider];
  if (model !== undefined && !model.includes("*")) return providers.flatMap((provider) => priceOfModel(provider, model, own, time) ?? []);
  const fits = (name: string): boolean => model === undefined || matchesModel(model, name);
  const ofFile = (own?.prices ?? []).filter(
    (row) => (query.provider === undefined || row.provider === undefined || row.provider === query.provider) && fits(row.model),
  );
  return [
    ...ofFile.map((row) => ownRow(row, row.provider ?? null, row.model)),
    ...providers.flatMap((provider) =>
      modelsOf(provider)
        .filter(({ id }) => fits(id))
        .flatMap((info) => tableRow(provider, info, time) ?? []),
    ),
  ];
}

/** How many models of a provider the table knows. */
export function countPrices(provider: ProviderId): number {
  return modelsOf(provider).length;
}

function priceOfModel(provider: ProviderId, model: string, own: PriceFile | undefined, at: Date): LlmPrice | undefined {
  const row = own === undefined ? undefined : ownPriceRow(own, provider, model);
  // a row for every provider is one price, not one for each of them
  if (row !== undefined && (row.provider !== undefined || PRICE_PROVIDERS[provider] === undefined || knows(provider, model, at)))
    return ownRow(row, provider, model);
  const found = lookUp(provider, model, at);
  return found === null ? undefined : { ...rowOf(found.model_price), provider, model: found.model.id };
}

function knows(provider: ProviderId, model: string, at: Date): boolean {
  return lookUp(provider, model, at) !== null;
}

function lookUp(provider: ProviderId, model: string, timestamp: Date): genaiPrices.PriceCalculationResult {
  const providerId = PRICE_PROVIDERS[provider];
  return providerId === undefined ? null : priceTable().calcPrice({ input_tokens: 0 }, model, { providerId, timestamp });
}

function modelsOf(provider: ProviderId): readonly genaiPrices.ModelInfo[] {
  const providerId = PRICE_PROVIDERS[provider];
  return providerId === undefined ? [] : (priceTable().findProvider({ providerId })?.models ?? []);
}

/** Undefined: it has no price at this time. */
function tableRow(provider: ProviderId, info: genaiPrices.ModelInfo, timestamp: Date): LlmPrice | undefined {
  const found = priceTable().findProvider({ providerId: PRICE_PROVIDERS[provider] ?? "" });
  if (found === undefined) return undefined;
  // by itself, since some ids do not match their own pattern
  const alone = { ...found, models: [{ ...info, match: { equals: info.id } }] };
  const price = priceTable().calcPrice({ input_tokens: 0 }, info.id, { provider: alone, timestamp });
  return price === null ? undefined : { ...rowOf(price.model_price), provider, model: info.id };
}

const TOKENS = {
  input: "input_mtok",
  output: "output_mtok",
  cache_read: "cache_read_mtok",
  cache_write: "cache_write_mtok",
  cache_write_1h: "cache_write_1h_mtok",
} as const;

/** names of the table that are prices of a thousand, and how one of them is called */
const THOUSANDS = /^(.+?)_k(count|pages)$/;

function rowOf(prices: genaiPrices.ModelPrice): Omit<LlmPrice, "provider" | "model"> {
  const base = (key: string): number | null => {
    const price = prices[key];
    return price === undefined ? null : typeof price === "number" ? price : price.base;
  };
  const units: Record<string, number> = {};
  for (const key of Object.keys(prices)) {
    const price = base(key);
    if (price === null || Object.values<string>(TOKENS).includes(key)) continue;
    const thousand = THOUSANDS.exec(key);
    if (thousand === null) units[key] = price;
    else units[thousand[2] === "pages" ? `${thousand[1]}_pages` : (thousand[1] ?? key)] = price / 1000;
  }
  const steps = Object.entries(TOKENS).flatMap(([of, key]) => {
    const price = prices[key];
    return typeof price === "object"
      ? price.tiers.map((tier) => ({ from_tokens: tier.start, of: of as keyof typeof TOKENS, price: tier.price }))
      : [];
  });
  return {
    source: "built_in",
    input: base(TOKENS.input),
    output: base(TOKENS.output),
    cache_read: base(TOKENS.cache_read),
    cache_write: base(TOKENS.cache_write),
    cache_write_1h: base(TOKENS.cache_write_1h),
    request: null,
    units,
    steps,
  };
}

function ownRow(row: PriceFile["prices"][number], provider: ProviderId | null, model: string): LlmPrice {
  return {
    provider,
    model,
    source: "file",
    input: row.input ?? null,
    output: row.output ?? null,
    cache_read: row.cache_read ?? row.input ?? null,
    cache_write: row.cache_write ?? row.input ?? null,
    cache_write_1h: row.cache_write_1h ?? row.cache_write ?? row.input ?? null,
    request: row.request ?? null,
    units: { ...row.units },
    steps: [],
  };
}
