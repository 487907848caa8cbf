import { z } from "zod";
import { budgetId, budgetReport, budgetRequest } from "../../schema/budget.ts";
import { type Route, route } from "../route.ts";

const tag = "Model calls";
const byId = z.strictObject({ id: budgetId });

export const budgetRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/llm/budgets",
      tag,
      summary: "Budgets of the file and of the API, with what is used, reserved and left",
      answer: { kind: "json", schema: z.array(budgetReport) },
    },
    {},
    ({ app }) => app.budgets.list(),
  ),
  route(
    {
      method: "get",
      path: "/llm/budgets/{id}",
      tag,
      summary: "One budget",
      answer: { kind: "json", schema: budgetReport },
      errors: ["NOT_FOUND"],
    },
    { params: byId },
    ({ app, params }) => app.budgets.get(params.id),
  ),
  route(
    {
      method: "put",
      path: "/llm/budgets/{id}",
      tag,
      summary: "Set a budget; it holds from the next call on, in every process of this installation",
      description: "What is used stays when only the limit changes, and begins at zero under another scope, unit or window.",
      answer: { kind: "json", schema: budgetReport },
      errors: ["CONFLICT"],
    },
    { params: byId, body: budgetRequest },
    ({ app, caller, params, body }) => app.budgets.put(caller, params.id, body),
  ),
  route(
    {
      method: "delete",
      path: "/llm/budgets/{id}",
      tag,
      summary: "Remove a budget and what is used of it",
      answer: { kind: "json", schema: z.string() },
      errors: ["NOT_FOUND", "CONFLICT"],
    },
    { params: byId },
    async ({ app, caller, params }) => {
      await app.budgets.remove(caller, params.id);
      return `budget ${params.id} removed`;
    },
  ),
];
