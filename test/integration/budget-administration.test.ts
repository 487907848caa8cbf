import { expect, test } from "vitest";
import type { BudgetRequest } from "../../src/schema/budget.ts";
import { appSetting, TEST_CALLER } from "../support/app-setting.ts";

const budget: BudgetRequest = { scope: "label:team=red", unit: "usd", limit: 2.5, window: "month", on_exceed: "deny" };
const TOML = `[[llm.budgets]]\nscope = "global"\nunit = "tokens"\nlimit = 1000\nwindow = "5h"\n`;

test("budgets of the API are set, shown beside those of the file, recorded and removed", async () => {
  await using at = await appSetting(TOML);
  const { budgets, events } = at.app;
  const set = await budgets.put(TEST_CALLER, "red", budget);
  expect(set).toMatchObject({ ...budget, id: "red", source: "api", used: 0, reserved: 0, remaining: 2.5 });
  expect(set.resets_at).toMatch(/-01T00:00:00\.000Z$/);
  expect((await budgets.list()).map(({ id, source, resets_at }) => [id, source, resets_at === null])).toEqual([
    ["global-tokens-5h", "file", true],
    ["red", "api", false],
  ]);
  expect((await budgets.put(TEST_CALLER, "red", { ...budget, limit: 5 })).limit).toBe(5);
  // another process of this installation sees it at once
  const other = await at.beside();
  expect(await other.budgets.get("red")).toMatchObject({ limit: 5 });
  await other.budgets.remove(TEST_CALLER, "red");
  await expect(budgets.get("red")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(budgets.remove(TEST_CALLER, "red")).rejects.toMatchObject({ code: "NOT_FOUND" });
  const changes = await events.tail({ last: 3, types: ["admin.change"] });
  expect(changes.map((event) => (event.type === "admin.change" ? [event.resource_type, event.resource_id, event.operation] : []))).toEqual([
    ["budget", "red", "create"],
    ["budget", "red", "update"],
    ["budget", "red", "delete"],
  ]);
});

test("budgets of the file are read-only, and the refusal names the file; a reload changes them without a restart", async () => {
  await using at = await appSetting(TOML);
  const { budgets, policy } = at.app;
  const conflict = { code: "CONFLICT", message: expect.stringContaining("/test.toml") };
  await expect(budgets.put(TEST_CALLER, "global-tokens-5h", budget)).rejects.toMatchObject(conflict);
  await expect(budgets.remove(TEST_CALLER, "global-tokens-5h")).rejects.toMatchObject(conflict);
  await at.write(TOML.replace("1000", "2000"));
  await policy.reload(TEST_CALLER);
  expect(await budgets.get("global-tokens-5h")).toMatchObject({ limit: 2000, source: "file" });
});

test("no budget is taken that could not be enforced", async () => {
  await using at = await appSetting("[llm]\nenabled = false\n");
  await expect(at.app.budgets.put(TEST_CALLER, "red", budget)).rejects.toMatchObject({ code: "CONFLICT" });
});
