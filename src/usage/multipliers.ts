import type { PriceFile } from "../schema/price-file.ts";
import type { ProviderId } from "../schema/provider.ts";
import type { Usage } from "../schema/usage.ts";
import { matchesModel } from "./model-glob.ts";

/** A factor as a fraction of whole numbers: money is never multiplied by a float. */
export type Ratio = { readonly num: bigint; readonly den: bigint };

export type Multiplied = {
  readonly provider: ProviderId;
  readonly model: string;
  readonly serviceTier: string | null;
  readonly usage: Pick<Usage, "speed" | "geo">;
};

const ONE: Ratio = { num: 1n, den: 1n };
const HALF: Ratio = { num: 1n, den: 2n };

type Tiers = Readonly<Record<string, Ratio | readonly (readonly [model: string, ratio: Ratio])[]>>;

/** list prices of priority processing over standard ones; the first that fits, the last fits all */
const OPENAI_PRIORITY = [
  ["gpt-4o-mini*", ratio(5, 3)],
  ["gpt-4o*", ratio(17, 10)],
  ["gpt-4.1-nano*", ratio(2, 1)],
  ["gpt-4.1*", ratio(7, 4)],
  ["o3*", ratio(7, 4)],
  ["o4-mini*", ratio(20, 11)],
  ["gpt-5-mini*", ratio(9, 5)],
  ["*", ratio(2, 1)],
] as const;

/** What a service tier costs over the table's price. A tier that a provider of this table does not have here has no known price. */
const TIERS: Readonly<Partial<Record<ProviderId, Tiers>>> = {
  openai: { auto: ONE, default: ONE, standard: ONE, scale: ONE, flex: HALF, priority: OPENAI_PRIORITY, batch: HALF },
  azure: { auto: ONE, default: ONE, standard: ONE, priority: OPENAI_PRIORITY, batch: HALF },
  // priority is a commitment, billed at the standard price
  anthropic: { auto: ONE, standard: ONE, standard_only: ONE, priority: ONE, batch: HALF },
  bedrock: { default: ONE, standard: ONE, reserved: ONE, flex: HALF, priority: ratio(7, 4), batch: HALF },
};

/** Anthropic's fast mode by model (models.dev); one that is not known costs what the dearest does. The first that fits. */
const FAST = [
  ["claude-opus-4-8*", ratio(2, 1)],
  ["claude-opus-5-5*", ratio(2, 1)],
  ["*", ratio(6, 1)],
] as const;

/** Inference in the US only costs a tenth more from the 4.6 models on; the older ones run where they run. */
const GEOS: Readonly<Record<string, Ratio>> = { us: ratio(11, 10) };
const WITHOUT_GEO = [
  "claude-3*",
  "claude-opus-4-0*",
  "claude-opus-4-1*",
  "claude-opus-4-2*",
  "claude-opus-4-5*",
  "claude-sonnet-4-0*",
  "claude-sonnet-4-2*",
  "claude-sonnet-4-5*",
  "claude-haiku-4-5*",
];

/** Tokens of this call cost so many times the table's price; null when that is not known. An operator's own multipliers come first. */
export function multiplierOf(call: Multiplied, own: PriceFile["multipliers"] = []): Ratio | null {
  const parts = [
    ownFactor(call, own, "tier", call.serviceTier) ?? tierOf(call),
    ownFactor(call, own, "speed", call.usage.speed ?? null) ?? speedOf(call),
    ownFactor(call, own, "geo", call.usage.geo ?? null) ?? geoOf(call),
  ];
  let product = ONE;
  for (const part of parts) {
    if (part === null) return null;
    product = { num: product.num * part.num, den: product.den * part.den };
  }
  return product;
}

/** `nano` times the ratio, rounded to the nearest. */
export function multiply(nano: bigint, { num, den }: Ratio): bigint {
  return (nano * num * 2n + den) / (den * 2n);
}

/** A factor of a configuration file, exact to six decimals. */
export function ratioOf(factor: number): Ratio {
  return { num: BigInt(Math.round(factor * 1_000_000)), den: 1_000_000n };
}

function ratio(num: number, den: number): Ratio {
  return { num: BigInt(num), den: BigInt(den) };
}

function ownFactor(call: Multiplied, own: PriceFile["multipliers"], kind: "tier" | "speed" | "geo", value: string | null): Ratio | null {
  if (value === null) return null;
  const found = own.find(
    (row) =>
      row[kind]?.toLowerCase() === value.toLowerCase() &&
      (row.provider === undefined || row.provider === call.provider) &&
      matchesModel(row.model, call.model),
  );
  return found === undefined ? null : ratioOf(found.factor);
}

function tierOf({ provider, model, serviceTier }: Multiplied): Ratio | null {
  if (serviceTier === null) return ONE;
  const name = serviceTier.toLowerCase();
  const tiers = TIERS[provider];
  if (tiers === undefined) return name === "batch" ? HALF : ONE;
  const found = Object.hasOwn(tiers, name) ? tiers[name] : undefined;
  if (found === undefined) return null;
  return "num" in found ? found : (found.find(([pattern]) => matchesModel(pattern, model))?.[1] ?? null);
}

function speedOf({ model, usage }: Multiplied): Ratio | null {
  if (usage.speed === undefined || usage.speed === "standard") return ONE;
  return usage.speed === "fast" ? (FAST.find(([pattern]) => matchesModel(pattern, model))?.[1] ?? null) : null;
}

function geoOf({ model, usage }: Multiplied): Ratio {
  if (usage.geo === undefined || !Object.hasOwn(GEOS, usage.geo)) return ONE;
  return WITHOUT_GEO.some((pattern) => matchesModel(pattern, model)) ? ONE : (GEOS[usage.geo] ?? ONE);
}
