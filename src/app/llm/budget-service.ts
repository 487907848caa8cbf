import type { Clock } from "../../base/clock.ts";
import { timestamp } from "../../base/clock.ts";
import { AppError } from "../../base/error.ts";
import type { BudgetReport, BudgetRequest } from "../../schema/budget.ts";
import type { NewEvent } from "../../schema/event.ts";
import type { BudgetSettings, Config } from "../../schema/settings.ts";
import type { BudgetTable } from "../../store/budgets.ts";
import { amountOf, type Budget, figureOf, meterKey } from "../../usage/budget.ts";
import { windowAt } from "../../usage/budget-window.ts";
import type { BudgetService, Caller } from "../facade.ts";

export type BudgetServiceOptions = {
  readonly table: BudgetTable<BudgetRequest>;
  /** the configuration in force */
  readonly config: () => Config;
  readonly report: (event: NewEvent) => Promise<unknown>;
  readonly clock: Clock;
};

/** Every budget in force: the file's, and those made over the API whose name the file does not use. */
export function budgetsInForce(table: BudgetTable<BudgetRequest>, config: Config): readonly Budget[] {
  const ofFile = config.llm.budgets.map((budget) => budgetOf(budget, "file"));
  // without recognition nothing could be counted; such a budget was made before the configuration said so
  if (!config.llm.enabled) return ofFile;
  const names = new Set(ofFile.map(({ id }) => id));
  const ofApi = table.list().filter(({ id }) => !names.has(id));
  return [...ofFile, ...ofApi.map(({ id, budget }) => budgetOf({ ...budget, id, onExceed: budget.on_exceed }, "api"))];
}

function budgetOf({ id, scope, unit, limit, window, onExceed }: BudgetSettings, source: Budget["source"]): Budget {
  return { id, scope, unit, limit: amountOf(unit, limit), window, onExceed, source };
}

export function createBudgetService(options: BudgetServiceOptions): BudgetService {
  const { table, config, report, clock } = options;
  const shown = (budget: Budget): BudgetReport => {
    const { id, source, scope, unit, limit, window } = budget;
    const { since, endsAt } = windowAt(window, clock.now());
    const { used, reserved } = table.taken(meterKey(budget), since);
    const left = limit - used - reserved;
    return {
      id,
      source,
      scope,
      unit,
      limit: figureOf(unit, limit),
      window,
      on_exceed: budget.onExceed,
      used: figureOf(unit, used),
      reserved: figureOf(unit, reserved),
      remaining: figureOf(unit, left > 0n ? left : 0n),
      resets_at: endsAt === null ? null : timestamp(endsAt),
    };
  };
  const all = (): readonly Budget[] => budgetsInForce(table, config());
  const find = (id: string): Budget => {
    const found = all().find((budget) => budget.id === id);
    if (found === undefined)
      throw new AppError("NOT_FOUND", `there is no budget ${id}`, { hint: "agentkernel llm budget ls shows those there are" });
    return found;
  };
  /** @throws CONFLICT */
  const mustBeOurs = (id: string): void => {
    const { file, llm } = config();
    if (llm.budgets.some((budget) => budget.id === id))
      throw new AppError("CONFLICT", `the budget ${id} belongs to ${file ?? "the configuration"}`, { hint: "change it there" });
  };
  const change = (caller: Caller, id: string, operation: "create" | "update" | "delete"): Promise<unknown> =>
    report({
      type: "admin.change",
      outcome: "permit",
      actor: caller.actor,
      ...(caller.requestId === undefined ? {} : { request_id: caller.requestId }),
      resource_type: "budget",
      resource_id: id,
      operation,
    });
  return {
    async list() {
      return all().map(shown);
    },
    async get(id) {
      return shown(find(id));
    },
    async put(caller, id, budget) {
      mustBeOurs(id);
      if (!config().llm.enabled)
        throw new AppError("CONFLICT", "a budget cannot be enforced with llm.enabled = false", { hint: "set llm.enabled = true" });
      const isNew = table.list().every((one) => one.id !== id);
      await change(caller, id, isNew ? "create" : "update");
      table.put(id, budget, clock.now());
      return shown(find(id));
    },
    async remove(caller, id) {
      mustBeOurs(id);
      const budget = find(id);
      await change(caller, id, "delete");
      table.remove(id, meterKey(budget));
    },
  };
}
