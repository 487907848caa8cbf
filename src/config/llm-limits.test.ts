import { expect, test } from "vitest";
import { environmentFrom } from "./env.ts";
import { configFrom } from "./config-from.ts";
import { parseToml } from "./parse-toml.ts";

const load = (text: string) =>
  configFrom(parseToml(text, "/etc/a.toml"), { env: environmentFrom({ HOME: "/home/ann" }), uid: 1000, file: "/etc/a.toml" }).config.llm;

const budget = (more: string): string => `[[llm.budgets]]\nscope = "global"\nunit = "usd"\nlimit = 20\n${more}\n`;

test("a budget has a name, made of what it says where it was given none", () => {
  expect(load(budget('window = "day"')).budgets).toEqual([
    { id: "global-usd-day", scope: "global", unit: "usd", limit: 20, window: "day", onExceed: "deny" },
  ]);
  expect(load(budget('id = "mine"\non_exceed = "warn"')).budgets).toEqual([
    { id: "mine", scope: "global", unit: "usd", limit: 20, window: "total", onExceed: "warn" },
  ]);
  const long = load(`[[llm.budgets]]\nscope = "model:${"x/".repeat(100)}"\nunit = "concurrent"\nlimit = 2\n`).budgets[0]?.id;
  expect(long).toMatch(/^model_x_.*-concurrent$/);
  expect(long).toHaveLength(63);
});

test.each([
  ['scope = "team:red"\nunit = "usd"\nlimit = 1', "llm.budgets[0].scope"],
  ['scope = "provider:nobody"\nunit = "usd"\nlimit = 1', "llm.budgets[0].scope"],
  ['scope = "label:red"\nunit = "usd"\nlimit = 1', "llm.budgets[0].scope"],
  ['scope = "global"\nunit = "euro"\nlimit = 1', "llm.budgets[0].unit"],
  ['scope = "global"\nunit = "tokens"\nlimit = 1.5', "llm.budgets[0].limit"],
  ['scope = "global"\nunit = "tokens"\nlimit = -1', "llm.budgets[0].limit"],
  ['scope = "global"\nunit = "tokens"', "llm.budgets[0].limit"],
  ['scope = "global"\nunit = "tokens"\nlimit = 1\nwindow = "0h"', "llm.budgets[0].window"],
  ['scope = "global"\nunit = "tokens"\nlimit = 1\nwindow = "year"', "llm.budgets[0].window"],
  ['scope = "global"\nunit = "concurrent"\nlimit = 1\nwindow = "day"', "llm.budgets[0].window"],
  ['scope = "global"\nunit = "usd"\nlimit = 1\nid = "a b"', "llm.budgets[0].id"],
])("a budget that means nothing is refused: %s", (text, key) => {
  expect(() => load(`[[llm.budgets]]\n${text}\n`)).toThrow(key);
});

test("two budgets of one name are refused", () => {
  expect(() => load(`${budget('window = "day"')}${budget('window = "day"')}`)).toThrow("has the name global-usd-day of another budget");
});

test("limits on model calls cannot stand where calls are not recognised", () => {
  expect(() => load(`[llm]\nenabled = false\n${budget("")}`)).toThrow("llm.budgets cannot be enforced with llm.enabled = false");
  expect(() => load('[llm]\nenabled = false\nmodels = { deny = ["o3*"] }')).toThrow(
    "llm.models cannot be enforced with llm.enabled = false",
  );
});

test("permitted models and unknown prices", () => {
  expect(load("")).toMatchObject({ unknownPrice: "deny", models: { allow: [], deny: [] }, budgets: [] });
  expect(load('[llm]\nunknown_price = "assume_max"\nmodels = { allow = ["gpt-*"] }')).toMatchObject({
    unknownPrice: "assume_max",
    models: { allow: ["gpt-*"], deny: [] },
  });
  expect(() => load('[llm]\nmodels = { allow = ["a b"] }')).toThrow("llm.models.allow[0]");
});
