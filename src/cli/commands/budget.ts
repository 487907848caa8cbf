import { type BudgetReport, type BudgetRequest, budgetRequest } from "../../schema/budget.ts";
import { checkFlags } from "../flag-values.ts";
import { connect } from "../connect.ts";
import { count, dollars } from "../output.ts";
import { table } from "../table.ts";
import type { Cli } from "../cli.ts";

type SetFlags = {
  readonly limit: string;
  readonly unit: string;
  readonly scope: string;
  readonly window: string;
  readonly onExceed: string;
  readonly json?: boolean;
};

const EXAMPLE = "agentkernel llm budget set team --scope label:team=red --unit usd --limit 20 --window day";

/** `agentkernel llm budget set ID` */
export async function set(cli: Cli, id: string, flags: SetFlags): Promise<number> {
  const asked = {
    scope: flags.scope,
    unit: flags.unit as BudgetRequest["unit"],
    limit: flags.limit.trim() === "" ? Number.NaN : Number(flags.limit),
    window: flags.window,
    on_exceed: flags.onExceed as "deny",
  };
  checkFlags(budgetRequest, asked, ([name]) => `--${String(name).replace("_", "-")}`, EXAMPLE);
  using client = await connect(cli);
  const budget = await client.setBudget(id, asked);
  if (flags.json === true) cli.output.json(budget);
  else cli.output.out(budgetTable([budget], cli.output.width));
  return 0;
}

/** `agentkernel llm budget ls` */
export async function list(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  using client = await connect(cli);
  const budgets = await client.budgets();
  if (flags.json === true) cli.output.json(budgets);
  else if (budgets.length === 0) cli.output.note("no budgets");
  else cli.output.out(budgetTable(budgets, cli.output.width));
  return 0;
}

/** `agentkernel llm budget rm ID…` */
export async function remove(cli: Cli, ids: readonly string[]): Promise<number> {
  using client = await connect(cli);
  for (const id of ids) {
    await client.removeBudget(id);
    cli.output.note(`budget ${id} is gone`);
  }
  return 0;
}

function budgetTable(budgets: readonly BudgetReport[], width: number): string {
  const amount = (budget: BudgetReport, figure: number): string => (budget.unit === "usd" ? dollars(figure) : count(figure));
  return table(
    budgets,
    [
      { title: "BUDGET", value: ({ id }) => id },
      { title: "SCOPE", value: ({ scope }) => scope, wraps: true },
      { title: "UNIT", value: ({ unit }) => unit },
      { title: "WINDOW", value: ({ unit, window }) => (unit === "concurrent" ? "now" : window) },
      { title: "LIMIT", value: (budget) => amount(budget, budget.limit), align: "right" },
      { title: "USED", value: (budget) => amount(budget, budget.used), align: "right" },
      { title: "RESERVED", value: (budget) => amount(budget, budget.reserved), align: "right" },
      { title: "LEFT", value: (budget) => amount(budget, budget.remaining), align: "right" },
      { title: "WHEN EXCEEDED", value: (budget) => budget.on_exceed },
      { title: "FROM", value: ({ source }) => source },
    ],
    width,
  );
}
