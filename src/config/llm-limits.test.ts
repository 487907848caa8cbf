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

const provider = (more: string): string => `[[llm.providers]]\nname = "vllm"\nhosts = ["gpu.example"]\nshape = "openai-chat"\n${more}`;

test("an operator's own providers and prices", () => {
  expect(load("")).toMatchObject({ providers: [], priceFile: null });
  expect(load(provider("include_usage = false")).providers).toEqual([
    { name: "vllm", hosts: ["gpu.example"], shape: "openai-chat", includeUsage: false },
  ]);
  expect(load(provider("")).providers).toEqual([{ name: "vllm", hosts: ["gpu.example"], shape: "openai-chat" }]);
  expect(load('[llm]\nprice_file = "~/prices.toml"').priceFile).toBe("/home/ann/prices.toml");
});

test.each([
  [provider("").replace("openai-chat", "openai-chatt"), "llm.providers[0].shape is none of"],
  [provider("").replace('["gpu.example"]', "[]"), "llm.providers[0].hosts has no host"],
  [provider("").replace("gpu.example", "https://gpu.example"), "llm.providers[0].hosts[0] is not a host of a model provider"],
  [provider("").replace("gpu.example", "gpu.example:8000"), "llm.providers[0].hosts[0] is not a host of a model provider"],
  [provider("").replace("gpu.example", "*"), "llm.providers[0].hosts[0] is not a host of a model provider"],
  [provider("").replace("gpu.example", "a*b.example"), "llm.providers[0].hosts[0] is not a host of a model provider"],
  [provider("").replace("vllm", "v llm"), "llm.providers[0].name is not a name"],
  [provider("key = 1"), "llm.providers[0].key is no key"],
  [provider("") + provider(""), "llm.providers[1].name is that of another provider"],
  [`[llm]\ncustom_domains = ["GPU.example."]\n${provider("")}`, "llm.custom_domains[0] is named in llm.providers[0].hosts[0] as well"],
  ['[llm]\ncustom_domains = ["gpu.example:8000"]', "llm.custom_domains[0] is not a host of a model provider"],
  ['[llm]\nprice_file = "prices.toml"', "llm.price_file must be absolute"],
])("a provider that could not be recognised is refused: %j", (text, message) => {
  expect(() => load(text)).toThrow(message);
});
