import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createApp, type OwnedApp } from "../../src/app/create-app.ts";
import type { Caller } from "../../src/app/facade.ts";
import { loadConfig } from "../../src/config/load.ts";
import { statePaths } from "../../src/config/paths.ts";
import { prepareState } from "../../src/config/prepare-state.ts";
import type { BudgetRequest } from "../../src/schema/budget.ts";
import { tempDir } from "../support/temp.ts";

const caller: Caller = { actor: { kind: "user", user_id: "me" }, requestId: "req_test" };
const budget: BudgetRequest = { scope: "label:team=red", unit: "usd", limit: 2.5, window: "month", on_exceed: "deny" };
const TOML = `[[llm.budgets]]\nscope = "global"\nunit = "tokens"\nlimit = 1000\nwindow = "5h"\n`;

/** Apps over one state directory and one configuration file. */
async function setting(first: string) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const variables: Record<string, string> = { AGENTKERNEL_HOME: dir.path, HOME: dir.path };
  const env = { get: (name: string) => variables[name], names: () => Object.keys(variables) };
  const uid = process.getuid?.() ?? 0;
  const paths = statePaths(env, uid);
  await mkdir(paths.state, { recursive: true });
  await prepareState(paths, uid);
  const file = join(dir.path, "test.toml");
  const write = (toml: string): Promise<void> => writeFile(file, toml);
  const read = async () => (await loadConfig({ env, uid, file })).config;
  await write(first);
  const open = async (): Promise<OwnedApp> =>
    stack.use(await createApp({ config: await read(), paths, env, reload: read }, { isServer: true, hasMetrics: false }));
  return { app: await open(), beside: open, write, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("budgets of the API are set, shown beside those of the file, recorded and removed", async () => {
  await using at = await setting(TOML);
  const { budgets, events } = at.app;
  const set = await budgets.put(caller, "red", budget);
  expect(set).toMatchObject({ ...budget, id: "red", source: "api", used: 0, reserved: 0, remaining: 2.5 });
  expect(set.resets_at).toMatch(/-01T00:00:00\.000Z$/);
  expect((await budgets.list()).map(({ id, source, resets_at }) => [id, source, resets_at === null])).toEqual([
    ["global-tokens-5h", "file", true],
    ["red", "api", false],
  ]);
  expect((await budgets.put(caller, "red", { ...budget, limit: 5 })).limit).toBe(5);
  // another process of this installation sees it at once
  const other = await at.beside();
  expect(await other.budgets.get("red")).toMatchObject({ limit: 5 });
  await other.budgets.remove(caller, "red");
  await expect(budgets.get("red")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(budgets.remove(caller, "red")).rejects.toMatchObject({ code: "NOT_FOUND" });
  const changes = await events.tail({ last: 3, types: ["admin.change"] });
  expect(changes.map((event) => (event.type === "admin.change" ? [event.resource_type, event.resource_id, event.operation] : []))).toEqual([
    ["budget", "red", "create"],
    ["budget", "red", "update"],
    ["budget", "red", "delete"],
  ]);
});

test("budgets of the file are read-only, and the refusal names the file; a reload changes them without a restart", async () => {
  await using at = await setting(TOML);
  const { budgets, policy } = at.app;
  const conflict = { code: "CONFLICT", message: expect.stringContaining("/test.toml") };
  await expect(budgets.put(caller, "global-tokens-5h", budget)).rejects.toMatchObject(conflict);
  await expect(budgets.remove(caller, "global-tokens-5h")).rejects.toMatchObject(conflict);
  await at.write(TOML.replace("1000", "2000"));
  await policy.reload(caller);
  expect(await budgets.get("global-tokens-5h")).toMatchObject({ limit: 2000, source: "file" });
});

test("no budget is taken that could not be enforced", async () => {
  await using at = await setting("[llm]\nenabled = false\n");
  await expect(at.app.budgets.put(caller, "red", budget)).rejects.toMatchObject({ code: "CONFLICT" });
});
