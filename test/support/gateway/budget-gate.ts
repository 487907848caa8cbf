import { BudgetGate } from "../../../src/app/llm/call-gate.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { EgressReporter } from "../../../src/egress/gateway.ts";
import { silentMetrics } from "../../../src/metrics/silent-metrics.ts";
import type { Store } from "../../../src/store/open-store.ts";
import { amountOf, type Budget } from "../../../src/usage/budget.ts";
import type { CallGateOptions } from "../../../src/app/llm/call-gate.ts";

export type GateSettings = Partial<Omit<CallGateOptions, "budgets" | "models">> & {
  readonly budgets?: readonly Budget[];
  readonly models?: { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
};

export function testBudget(unit: Budget["unit"], limit: number, more: Partial<Omit<Budget, "unit" | "limit">> = {}): Budget {
  return {
    id: `of-${unit}`,
    scope: "global",
    unit,
    limit: amountOf(unit, limit),
    window: "total",
    onExceed: "deny",
    source: "file",
    ...more,
  };
}

export type GateFindings = Parameters<EgressReporter["finding"]>[0][];

/** The gate that the program has, with budgets and models of a test; a thousandth of a cent for a token of any model. */
export function budgetGate(store: Pick<Store, "budgets" | "contexts">, settings: GateSettings, findings: GateFindings = []): BudgetGate {
  const { budgets = [], models = {}, ...rest } = settings;
  return new BudgetGate({
    table: store.budgets,
    contexts: store.contexts,
    budgets: () => budgets,
    models: () => ({ allow: models.allow ?? [], deny: models.deny ?? [] }),
    unknownPrice: () => "deny",
    costOf: ({ usage }) => BigInt((usage.input ?? 0) + (usage.output ?? 0)) * 10_000n,
    dearestModel: () => null,
    finding: (event) => findings.push(event),
    metrics: silentMetrics,
    clock: systemClock,
    log: silentLog,
    ...rest,
  });
}
