import { expect, test } from "vitest";
import { llmCall } from "../../test/support/llm-event.ts";
import { GenAiMetrics } from "./gen-ai.ts";

type Point = {
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue: string } }[];
  readonly asInt?: string;
  readonly count?: string;
  readonly sum?: number;
  readonly bucketCounts?: readonly string[];
  readonly explicitBounds?: readonly number[];
  readonly startTimeUnixNano: string;
  readonly timeUnixNano: string;
};
type Metric = {
  readonly name: string;
  readonly unit: string;
  readonly sum?: { readonly aggregationTemporality: number; readonly isMonotonic: boolean; readonly dataPoints: readonly Point[] };
  readonly histogram?: { readonly aggregationTemporality: number; readonly dataPoints: readonly Point[] };
};

function metricsOf(metrics: GenAiMetrics): ReadonlyMap<string, Metric> {
  const request = metrics.export({ "service.name": "agentkernel" }, { version: "1" }, 1_000, 61_000) as {
    readonly resourceMetrics: readonly { readonly scopeMetrics: readonly { readonly metrics: readonly Metric[] }[] }[];
  };
  return new Map(request.resourceMetrics[0]?.scopeMetrics[0]?.metrics.map((metric) => [metric.name, metric]));
}

const points = (metric: Metric | undefined): readonly Point[] => metric?.sum?.dataPoints ?? metric?.histogram?.dataPoints ?? [];
const attributesOf = ({ attributes }: Point): Record<string, string> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue]));

test("a call under the names of the convention, subsets apart", () => {
  const metrics = new GenAiMetrics();
  const call = { model: "claude-opus-4-6", response_model: "claude-opus-4-6", provider: "anthropic", operation: "messages" } as const;
  metrics.record(llmCall({ ...call, input_tokens: 100, output_tokens: 20, cache_read_tokens: 40, latency_ms: 900, ttft_ms: 300 }));
  metrics.record(llmCall({ ...call, input_tokens: 60_000, output_tokens: 5, cache_read_tokens: null, latency_ms: 100, ttft_ms: null }));
  const found = metricsOf(metrics);
  const input = found.get("gen_ai.client.inference.usage.input_tokens");
  expect(input).toMatchObject({ unit: "{token}", sum: { aggregationTemporality: 2, isMonotonic: true } });
  expect(points(input)).toMatchObject([{ asInt: "60100", startTimeUnixNano: "1000000000", timeUnixNano: "61000000000" }]);
  expect(points(input).map(attributesOf)).toEqual([
    {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "anthropic",
      "gen_ai.request.model": "claude-opus-4-6",
      "gen_ai.response.model": "claude-opus-4-6",
      "gen_ai.token.modality": "unknown",
    },
  ]);
  expect(points(found.get("gen_ai.client.inference.usage.cache_read.input_tokens"))).toMatchObject([{ asInt: "40" }]);
  const [spread] = points(found.get("gen_ai.client.inference.operation.input_tokens"));
  expect(spread).toMatchObject({ count: "2", sum: 60_100 });
  expect(spread?.explicitBounds?.slice(0, 4)).toEqual([1, 4, 16, 64]);
  expect(spread?.bucketCounts).toHaveLength((spread?.explicitBounds?.length ?? 0) + 1);
  // a bound belongs to its bucket
  expect(spread?.bucketCounts?.map(Number)).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  expect(points(found.get("gen_ai.client.inference.duration"))).toMatchObject([{ count: "2", sum: 1 }]);
  expect(points(found.get("gen_ai.client.inference.time_to_first_chunk"))).toMatchObject([{ count: "1", sum: 0.3 }]);
  expect([...found.keys()]).not.toContain("gen_ai.client.token.usage");
});

test("tokens have the modality that the operation tells, and `unknown` where it does not or the call failed", () => {
  const metrics = new GenAiMetrics();
  const usage = { input_tokens: 3, output_tokens: 5, cache_read_tokens: 1, cache_write_tokens: null, reasoning_tokens: 2 } as const;
  for (const operation of ["chat", "messages", "text_completion", "speech", "transcription", "image_generation", "image_edit"])
    metrics.record(llmCall({ operation, ...usage, ...(operation === "messages" ? { provider: "anthropic" } : {}) }));
  metrics.record(llmCall({ operation: "speech", ...usage, call_outcome: "stream_error" }));
  const found = metricsOf(metrics);
  const modalities = (name: string): readonly string[] =>
    points(found.get(`gen_ai.client.inference.usage.${name}`)).map((point) => attributesOf(point)["gen_ai.token.modality"] ?? "none");
  const read = ["unknown", "unknown", "text", "text", "audio", "text", "unknown", "unknown"];
  const written = ["unknown", "text", "text", "audio", "text", "image", "image", "unknown"];
  expect([modalities("input_tokens"), modalities("cache_read.input_tokens")]).toEqual([read, read]);
  expect([modalities("output_tokens"), modalities("reasoning.output_tokens")]).toEqual([written, written]);
  // histograms are of calls, not of tokens
  const [spread] = points(found.get("gen_ai.client.inference.operation.input_tokens"));
  expect(spread === undefined ? undefined : attributesOf(spread)).not.toHaveProperty("gen_ai.token.modality");
});

test("failed calls count nothing under their error, denied ones are none, and what is billed goes before what was used", () => {
  const metrics = new GenAiMetrics();
  expect(metrics.export({}, { version: "1" }, 0, 1)).toBeNull();
  metrics.record(llmCall({ decision: "deny", call_outcome: "denied" }));
  expect(metrics.export({}, { version: "1" }, 0, 1)).toBeNull();
  metrics.record(llmCall({ provider: "xai", call_outcome: "rate_limited", status: 429, input_tokens: null, output_tokens: null }));
  metrics.record(llmCall({ provider: "cohere", input_tokens: 215, output_tokens: 14, billed_input_tokens: 17, billed_output_tokens: 12 }));
  const rows = points(metricsOf(metrics).get("gen_ai.client.inference.usage.input_tokens"));
  expect(rows.map((point) => [attributesOf(point)["gen_ai.provider.name"], attributesOf(point)["error.type"], point.asInt])).toEqual([
    ["x_ai", "rate_limited", "0"],
    ["cohere", undefined, "17"],
  ]);
});

test("10,000 invented names of models and operations stay bounded, and nothing of their sum is lost", () => {
  const metrics = new GenAiMetrics();
  for (let n = 0; n < 10_000; n += 1)
    metrics.record(llmCall({ model: `m${n}`, response_model: null, operation: `o${n % 5_000}`, input_tokens: 1 }));
  const rows = points(metricsOf(metrics).get("gen_ai.client.inference.usage.input_tokens"));
  expect(rows.length).toBeLessThanOrEqual(2_001);
  expect(new Set(rows.map((point) => attributesOf(point)["gen_ai.request.model"])).size).toBeLessThanOrEqual(202);
  expect(rows.reduce((sum, { asInt }) => sum + Number(asInt), 0)).toBe(10_000);
});
