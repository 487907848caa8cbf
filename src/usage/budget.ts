import type { ProviderId } from "../schema/provider.ts";
import { matchesModel, modelNames } from "./model-glob.ts";

export type BudgetUnit = "usd" | "tokens" | "requests" | "concurrent";

/** A limit on model calls. Amounts are whole: nano-dollars for `usd`, else tokens or calls. */
export type Budget = {
  readonly id: string;
  /** `global`, `sandbox:NAME`, `label:K=V`, `provider:P`, `model:GLOB` */
  readonly scope: string;
  readonly unit: BudgetUnit;
  readonly limit: bigint;
  /** `5h` (sliding), `day`, `week`, `month` (calendar, UTC), `total` */
  readonly window: string;
  readonly onExceed: "deny" | "warn";
  readonly source: "file" | "api";
};

/** What of a call decides which budgets count it. */
export type ScopedCall = {
  readonly sandbox: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly provider: ProviderId;
  /** null: the request's model could not be read */
  readonly model: string | null;
};

/** Does the budget count this call? A call whose model is not known counts against every model's budget: else hiding it would be free. */
export function countsCall(budget: Pick<Budget, "scope">, call: ScopedCall): boolean {
  const { scope } = budget;
  const at = scope.indexOf(":");
  if (at < 0) return scope === "global";
  const value = scope.slice(at + 1);
  switch (scope.slice(0, at)) {
    case "sandbox":
      return value === call.sandbox;
    case "label": {
      const equals = value.indexOf("=");
      const key = value.slice(0, equals);
      return Object.hasOwn(call.labels, key) && call.labels[key] === value.slice(equals + 1);
    }
    case "provider":
      return value === call.provider;
    case "model":
      return call.model === null || modelNames(call.model).some((name) => matchesModel(value, name));
    default:
      return false;
  }
}

const NANO = 1e9;

/** A limit as people write it, in whole amounts. */
export function amountOf(unit: BudgetUnit, figure: number): bigint {
  return BigInt(Math.round(unit === "usd" ? figure * NANO : figure));
}

/** A whole amount as people read it. */
export function figureOf(unit: BudgetUnit, amount: bigint): number {
  return unit === "usd" ? Number(amount) / NANO : Number(amount);
}

/** `$1.25`, `1000 tokens`; a fraction of a cent is shown when there is nothing else. */
export function showAmount(unit: BudgetUnit, amount: bigint): string {
  const figure = figureOf(unit, amount);
  switch (unit) {
    case "usd":
      return `$${figure >= 0.01 || figure === 0 ? figure.toFixed(2) : figure.toPrecision(2)}`;
    case "tokens":
      return `${figure} tokens`;
    case "requests":
      return `${figure} requests`;
    case "concurrent":
      return `${figure} concurrent calls`;
    default:
      return unit satisfies never;
  }
}

/** What a budget's sums are kept under: another scope, unit or window begins at zero, another limit does not. */
export function meterKey({ id, scope, unit, window }: Budget): string {
  return JSON.stringify([id, scope, unit, window]);
}

/** Shares of a limit, in percent, whose crossing is reported. */
export const THRESHOLDS: readonly number[] = [50, 80, 90, 100];

/** The highest threshold that is reached, 0 for none. */
export function levelOf(used: bigint, limit: bigint): number {
  return THRESHOLDS.findLast((percent) => used * 100n >= limit * BigInt(percent)) ?? 0;
}
