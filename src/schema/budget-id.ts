/** The name of a budget; where it was given none, `global-usd-day`, with `_` for characters that no name may have. */
export function budgetIdOf(budget: {
  readonly id?: string | undefined;
  readonly scope: string;
  readonly unit: string;
  readonly window: string;
}): string {
  const { scope, unit, window } = budget;
  if (budget.id !== undefined) return budget.id;
  const end = unit === "concurrent" ? `-${unit}` : `-${unit}-${window}`;
  return `${scope.replace(/[^A-Za-z0-9._-]+/g, "_").slice(0, 63 - end.length)}${end}`;
}
