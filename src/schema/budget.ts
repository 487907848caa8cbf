import { z } from "zod";
import { PROVIDER_IDS } from "./provider-ids.ts";

/** What `[[llm.budgets]]` and the API say about a budget: the same fields, the same rules. */

const id = z
  .string()
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, "must be 1 to 63 letters, digits, dots, underscores and hyphens")
  .meta({ title: "name" });
export const budgetId = id;

const SCOPE = new RegExp(
  `^(?:global|sandbox:[A-Za-z0-9._-]{1,63}|label:[^=\\s]{1,63}=\\S{0,256}|provider:(?:${PROVIDER_IDS.join("|")})|model:\\S{1,256})$`,
);

const fields = {
  scope: z
    .string()
    .regex(SCOPE, 'must be "global", "sandbox:NAME", "label:K=V", "provider:P" or "model:GLOB"')
    .meta({ description: 'which calls count: "global", "sandbox:NAME", "label:K=V", "provider:P" or "model:GLOB"', examples: ["global"] }),
  unit: z
    .enum(["usd", "tokens", "requests", "concurrent"])
    .meta({ description: "what is counted; `concurrent`: calls under way at the same time" }),
  limit: z
    .number()
    .nonnegative()
    .max(1e9)
    .meta({ description: "US dollars, or a whole number of tokens or calls", examples: [20] }),
  window: z
    .string()
    .regex(/^(?:day|week|month|total|[1-9][0-9]{0,5}[smhd])$/, 'must be a duration such as "5h", or "day", "week", "month" or "total"')
    .prefault("total")
    .meta({
      description: 'over which time: "5h" slides; "day", "week" (from Monday) and "month" are those of UTC; "total" never begins anew',
    }),
  on_exceed: z.enum(["deny", "warn"]).prefault("deny").meta({ description: "what happens to a call that does not fit: 403, or a finding" }),
};

function check(budget: { readonly unit: string; readonly limit: number; readonly window: string }, context: z.RefinementCtx): void {
  if (budget.unit !== "usd" && !Number.isInteger(budget.limit))
    context.addIssue({ code: "custom", path: ["limit"], message: `must be a whole number of ${budget.unit}` });
  if (budget.unit === "concurrent" && budget.window !== "total")
    context.addIssue({
      code: "custom",
      path: ["window"],
      message: "does not fit `concurrent`, which counts calls of this moment: leave it out",
    });
}

/** One of `[[llm.budgets]]`. */
export const budgetSection = z
  .strictObject({
    id: id.optional().meta({ title: "name", description: "name of the budget; default made of scope, unit and window" }),
    ...fields,
  })
  .superRefine(check);

/** Body of `PUT /llm/budgets/{id}`. */
export const budgetRequest = z.strictObject(fields).superRefine(check);
export type BudgetRequest = z.output<typeof budgetRequest>;

export const budgetReport = z.strictObject({
  id,
  /** `file`: the configuration's, read-only here */
  source: z.enum(["file", "api"]),
  scope: z.string(),
  unit: z.enum(["usd", "tokens", "requests", "concurrent"]),
  limit: z.number(),
  window: z.string(),
  on_exceed: z.enum(["deny", "warn"]),
  /** in this window, calls that have ended */
  used: z.number(),
  /** for calls under way */
  reserved: z.number(),
  /** never below zero */
  remaining: z.number(),
  /** when a calendar window ends */
  resets_at: z.string().nullable(),
});
export type BudgetReport = z.infer<typeof budgetReport>;
