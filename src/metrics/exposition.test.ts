import { expect, test } from "vitest";
import { faultsOf } from "../../test/support/exposition.ts";
import { llmCall } from "../../test/support/llm-event.ts";
import { createMetrics } from "./create-metrics.ts";

test("V99: 10,000 invented model names make at most 200 series and `_other`, whose sum is that of the records", async () => {
  const metrics = createMetrics();
  for (let call = 0; call < 10_000; call += 1)
    metrics.llm(llmCall({ model: `invented-${call}`, response_model: `invented-${call}`, sandbox: "web" }));
  metrics.llm(llmCall({ response_model: 'a"}\n# HELP x y', sandbox: 'w"eb\n' }));
  metrics.budget({ id: "all", scope: "label:team=red", unit: "usd", limit: 20, used: 1.5, reserved: 0 });
  metrics.budgetDenied("model:gpt-*", "exceeded");
  metrics.execEnded({ backend: "bubblewrap", outcome: "exit", seconds: 1 });
  const text = await metrics.text();
  const lines = text.split("\n").filter((line) => line.startsWith("agentkernel_llm_input_tokens_total{"));
  expect(new Set(lines.map((line) => /model="([^"]*)"/.exec(line)?.[1])).size).toBe(201);
  expect(lines.some((line) => line.includes('model="_other"'))).toBe(true);
  expect(lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)).toBe(10_001 * 100);
  expect(faultsOf(text)).toEqual([]);
});

test.each([
  ["# HELP a_total x\n# TYPE a_total counter\na_total 1\n", []],
  ["# HELP a x\n# TYPE a counter\na 1\n", ["a: a counter without _total"]],
  ["# HELP a x\n# TYPE a gauge\na 1\na 2\n", ["a{}: twice"]],
  ['# HELP a x\n# TYPE a gauge\na{b="c"d"} 1\n', ['a: labels {b="c"d"}']],
  ["a 1\n", ["a: a sample outside its family", "a: no HELP or no TYPE"]],
  ["# HELP a x\n# TYPE a gauge\na one\n", ["a: one is no number"]],
])("the checker finds what is wrong in %j", (text, faults) => {
  expect(faultsOf(text)).toEqual(faults);
});
