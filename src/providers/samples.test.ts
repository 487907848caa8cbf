import { readFileSync } from "node:fs";
import { join } from "node:path";
import { extractUsage, findProvider } from "@pydantic/genai-prices";
import { describe, expect, it } from "vitest";
import type { Usage } from "../schema/usage.ts";
import { createRequestReader } from "./request-reader.ts";
import { createResponseTap } from "./response-tap.ts";
import { createProviderTable } from "./table.ts";

type Sample = {
  readonly id: string;
  readonly url: string;
  readonly flavor: string | null;
  readonly request: Readonly<Record<string, unknown>>;
  readonly response: unknown;
  readonly expect: Readonly<Record<string, unknown>>;
  readonly oracle?: string;
};

const file = join(import.meta.dirname, "..", "..", "test", "vectors", "samples.jsonl");
const ALL = readFileSync(file, "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Sample);
/** what is no response but a frame is read by `websocket/frame-tap.test.ts` */
const SAMPLES = ALL.filter((sample) => sample.id !== "openai-realtime");
const table = createProviderTable({
  customDomains: [],
  providers: [{ name: "ollama", hosts: ["127.0.0.1"], shape: "ollama" }],
});

async function usageOf(sample: Sample): Promise<Usage> {
  const url = new URL(sample.url);
  const recognition = table.recognize({ host: url.hostname, method: "POST", path: url.pathname, query: url.search.slice(1) });
  if (recognition === undefined) throw new Error(`${sample.url} was not recognised`);
  const tap = createResponseTap(recognition, { status: 200, headers: { contentType: "application/json" } });
  tap.write(Buffer.from(JSON.stringify(sample.response, null, 2)));
  const facts = await tap.end("complete");
  expect(facts).toMatchObject({ source: "reported", missing: null, outcome: "ok" });
  if (facts.usage === null) throw new Error("no usage");
  return facts.usage;
}

function inWordsOfSamples(usage: Usage, sample: Sample): Record<string, unknown> {
  const all: Record<string, unknown> = {
    input: usage.input,
    output: usage.output,
    cache_read: usage.cacheRead,
    cache_write: usage.cacheWrite,
    reasoning: usage.reasoning,
    input_audio: usage.inputAudio,
    cost_usd: usage.costReportedUsd,
    units: usage.units,
    billed: { input: usage.billedInput, output: usage.billedOutput },
    actual: { input: usage.input, output: usage.output },
    extra: usage.extra?.map(({ model, input, output }) => ({ model, input, output })),
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => name in sample.expect));
}

it("found its samples", () => {
  expect(ALL.length).toBe(24);
});

describe.each(SAMPLES.map((sample) => [sample.id, sample] as const))("%s", (_id, sample) => {
  it("reads what the sample says", async () => {
    expect(inWordsOfSamples(await usageOf(sample), sample)).toEqual(sample.expect);
  });

  if (sample.request["multipart"] === undefined && !sample.id.startsWith("gemini") && sample.id !== "bedrock-converse") {
    it("reads the requested model", async () => {
      const url = new URL(sample.url);
      const recognition = table.recognize({ host: url.hostname, method: "POST", path: url.pathname, query: "" });
      if (recognition === undefined) throw new Error(`${sample.url} was not recognised`);
      const reader = createRequestReader(recognition, { contentType: "application/json" });
      reader.write(Buffer.from(JSON.stringify(sample.request)));
      expect((await reader.end()).model).toBe(sample.request["model"]);
    });
  }

  if (sample.oracle === "genai-prices ok") {
    it("agrees with the price package's own extractor", async () => {
      const provider = findProvider({ providerApiUrl: sample.url });
      if (provider === undefined || sample.flavor === null) throw new Error("the oracle does not know this provider");
      const { usage: theirs } = extractUsage(provider, sample.response, sample.flavor);
      const ours = await usageOf(sample);
      // the oracle leaves out what is zero, and prices what is billed
      expect(ours.billedInput ?? ours.input).toBe(theirs["input_tokens"] ?? 0);
      expect(ours.billedOutput ?? ours.output).toBe(theirs["output_tokens"] ?? 0);
      expect(ours.cacheRead ?? 0).toBe(theirs["cache_read_tokens"] ?? 0);
      expect(ours.cacheWrite ?? 0).toBe(theirs["cache_write_tokens"] ?? 0);
    });
  }
});
