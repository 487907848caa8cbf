import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { providerTable } from "../../src/cli/commands/llm-catalog.ts";
import { llmPrices, llmProvider } from "../../src/schema/llm-catalog.ts";
import { appSetting, TEST_CALLER } from "../support/app-setting.ts";

const PROVIDERS = `
[[llm.providers]]
name = "vllm"
hosts = ["gpu.corp.example", "*.gpu.corp.example"]
shape = "openai-chat"
[[llm.providers]]
name = "mistral"
hosts = ["mistral.corp.example"]
shape = "mistral-conversations"
`;
const PRICES = `
[[prices]]
model = "corp-*"
input = 0.5
output = 1.5
units = { images = 0.02 }
[[prices]]
provider = "openai"
model = "gpt-5-mini"
input = 0.1
output = 0.2
`;

const withPrices =
  (llm = "", prices = PRICES) =>
  async (dir: string): Promise<string> => {
    await writeFile(join(dir, "prices.toml"), prices);
    return `[llm]\nprice_file = "${join(dir, "prices.toml")}"\n${llm}`;
  };

test("the operator's providers come first, with what they are reported as", async () => {
  await using at = await appSetting(`[llm]\ncustom_domains = ["llm.corp.example"]\n${PROVIDERS}`);
  const found = await at.app.llmCatalog.providers();
  for (const one of found) llmProvider.parse(one);
  expect(found.slice(0, 3)).toMatchObject([
    { provider: "custom", name: "vllm", source: "file", hosts: ["gpu.corp.example", "*.gpu.corp.example"], include_usage: true },
    { provider: "mistral", name: "mistral", source: "file", include_usage: false, operations: expect.arrayContaining(["ocr"]) },
    { provider: "custom", name: null, source: "file", hosts: ["llm.corp.example"] },
  ]);
  expect(found.slice(3).every(({ source }) => source === "built_in")).toBe(true);
  expect(found.find(({ hosts }) => hosts.includes("{name}.openai.azure.com"))).toMatchObject({ provider: "azure", include_usage: null });
  expect(found.find(({ provider }) => provider === "openai")).toMatchObject({ priced_models: expect.any(Number), include_usage: true });
});

test("the list of providers fits a terminal, and says of each whose formats it speaks and where", async () => {
  await using at = await appSetting("");
  const lines = providerTable(await at.app.llmCatalog.providers(), 200).split("\n");
  expect(lines.filter((line) => line.length > 100)).toEqual([]);
  expect(lines[0]).toMatch(/^PROVIDER +PRICES +SPEAKS +HOSTS$/);
  expect(lines.find((line) => line.includes("api.deepseek.com"))).toMatch(/^deepseek +\d+ +openai anthropic +api\.deepseek\.com$/);
  expect(lines.find((line) => line.includes(" eu.api.openai.com"))).toMatch(/^ +eu\.api\.openai\.com$/);
  await using own = await appSetting(`[llm]\ncustom_domains = ["llm.corp.example"]\n${PROVIDERS}`);
  const [head, first] = providerTable(await own.app.llmCatalog.providers(), 200).split("\n");
  expect(head).toMatch(/^PROVIDER +FROM +PRICES +SPEAKS +HOSTS$/);
  expect(first).toMatch(/^custom \(vllm\) +file +\d+ +openai anthropic llama-cpp lm-studio +gpu\.corp\.example$/);
});

test("nothing is recognised while recognition is off, and nothing is asked for its usage with include_usage off", async () => {
  await using off = await appSetting("[llm]\nenabled = false\n");
  expect(await off.app.llmCatalog.providers()).toEqual([]);
  await using silent = await appSetting('[llm]\ninclude_usage = "off"\n');
  expect((await silent.app.llmCatalog.providers()).some(({ include_usage }) => include_usage !== false)).toBe(false);
});

test("prices: the operator's rows stand before the table, and a plain name is looked up as a call would be", async () => {
  await using at = await appSetting(withPrices());
  const { llmCatalog } = at.app;
  const all = llmPrices.parse(await llmCatalog.prices({}));
  expect(all.prices.slice(0, 2)).toMatchObject([
    { provider: null, model: "corp-*", source: "file", input: 0.5, cache_read: 0.5, units: { images: 0.02 } },
    { provider: "openai", model: "gpt-5-mini", source: "file", input: 0.1 },
  ]);
  expect(all.prices.length).toBeGreaterThan(1_000);
  expect(all).toMatchObject({ currency: "USD", unknown_price: "deny", price_file: join(at.dir, "prices.toml") });

  const mini = await llmCatalog.prices({ provider: "openai", model: "gpt-5-mini" });
  expect(mini.prices).toEqual([expect.objectContaining({ source: "file", input: 0.1, output: 0.2 })]);
  // a snapshot is the model of the table that a call of it would be priced as
  const dated = await llmCatalog.prices({ provider: "anthropic", model: "claude-sonnet-4-5-20250929" });
  expect(dated.prices).toEqual([expect.objectContaining({ provider: "anthropic", source: "built_in", input: 3, output: 15 })]);
  const pro = await llmCatalog.prices({ provider: "google", model: "gemini-2.5-pro" });
  expect(pro.prices[0]?.steps).toContainEqual({ from_tokens: 200_000, of: "input", price: 2.5 });
  const claude = await llmCatalog.prices({ provider: "anthropic", model: "claude-opus-*" });
  expect(claude.prices.length).toBeGreaterThan(2);
  expect(claude.prices.every(({ provider, model }) => provider === "anthropic" && model.startsWith("claude-opus-"))).toBe(true);
  expect((await llmCatalog.prices({ model: "nobodys-model" })).prices).toEqual([]);
});

test("prices and providers are read again with the configuration; wrong ones leave what there was", async () => {
  await using at = await appSetting(withPrices());
  const input = async () => (await at.app.llmCatalog.prices({ provider: "openai", model: "gpt-5-mini" })).prices[0]?.input;
  const own = async () => (await at.app.llmCatalog.providers()).filter(({ source }) => source === "file").length;
  const file = join(at.dir, "prices.toml");
  await writeFile(file, PRICES.replace("input = 0.1", "input = 0.4"));
  await at.write(await withPrices(PROVIDERS, PRICES.replace("input = 0.1", "input = 0.4"))(at.dir));
  await at.app.policy.reload(TEST_CALLER);
  expect([await input(), await own()]).toEqual([0.4, 2]);

  await writeFile(file, PRICES.replace("input = 0.1", 'input = "much"'));
  await expect(at.app.policy.reload(TEST_CALLER)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  expect([await input(), await own()]).toEqual([0.4, 2]);
});

test.each([
  ['[[prices]]\nmodel = "a"\ninput = -1\n', "prices.toml: prices[0].input is too small"],
  ['[[prices]]\nmodel = "a"\nprompt = 1\n', "prices.toml: prices[0].prompt is no key of this file"],
  ["[[prices]]\ninput = 1\n", "prices.toml: prices[0].model is missing"],
  ['[[prices]]\nmodel = "a"\nprovider = "opeani"\n', "prices.toml: prices[0].provider is none of"],
  ["[[multipliers]]\nfactor = 0\n", "prices.toml: multipliers[0].factor is too small"],
  ["prices = [", "prices.toml:1:"],
])("a price file that is wrong is refused in one line: %j", async (prices, message) => {
  const refused = await appSetting(withPrices("", prices)).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining(message), hint: expect.any(String) });
  expect((refused as Error).message).not.toContain("\n");
});

test("a price file that is not there is refused with its name", async () => {
  await expect(appSetting('[llm]\nprice_file = "/nowhere/prices.toml"\n')).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: "llm.price_file: /nowhere/prices.toml cannot be read (ENOENT)",
  });
});
