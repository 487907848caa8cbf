import { expect, test } from "vitest";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { eventStreamMessage } from "../support/vectors.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const OPENAI = "api.openai.com";
const BEDROCK = "bedrock-runtime.us-east-1.amazonaws.com";
const providers = createProviderTable({ customDomains: [] });

test.each(PROTOCOLS)(
  "V26: a background response that is polled until it is done, and after that, is counted once (%s)",
  async (protocol) => {
    const states = ["queued", "in_progress", "completed", "completed"];
    await using upstream = await testUpstream((request, response) => {
      request.resume();
      const status = request.method === "POST" ? "queued" : states.shift();
      const usage = status === "completed" ? { input_tokens: 20_480, output_tokens: 777, total_tokens: 21_257 } : null;
      response.setHeader("content-type", "application/json");
      request.on("end", () => response.end(JSON.stringify({ id: "resp_1", status, background: true, model: "gpt-5.6-terra", usage })));
    });
    await using fixture = await gatewayFixture({
      allow: [OPENAI],
      providers,
      costOf: ({ usage }) => BigInt(usage.input ?? 0),
      upstreams: [upstream.override(OPENAI)],
    });
    const url = `https://${OPENAI}/v1/responses`;
    const body = '{"model":"gpt-5.6-terra","background":true}';
    await fetchOver(protocol, fixture, url, { body, headers: { "content-type": "application/json" } });
    for (let i = 0; i < 4; i += 1) await fetchOver(protocol, fixture, `${url}/resp_1`);
    await waitFor(() => fixture.seen.calls.length === 5);
    expect(
      fixture.seen.calls.map((call) => [call.operation, call.input_tokens, call.usage_source, call.cost_usd, call.usage_missing]),
    ).toEqual([
      ["responses", null, "none", null, undefined],
      ["fetch_response", null, "none", null, undefined],
      ["fetch_response", null, "none", null, undefined],
      ["fetch_response", 20_480, "reported", 0.00002048, undefined],
      ["fetch_response", null, "none", null, undefined],
    ]);
  },
);

test.each(PROTOCOLS)("V37: a batch that is polled twice is counted once, at the price of batches (%s)", async (protocol) => {
  const priced: unknown[] = [];
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    response.setHeader("content-type", "application/json");
    const usage = { input_tokens: 1_000, output_tokens: 200, total_tokens: 1_200 };
    response.end(JSON.stringify({ id: "batch_1", object: "batch", status: "completed", model: "gpt-5-mini-2025-08-07", usage }));
  });
  await using fixture = await gatewayFixture({
    allow: [OPENAI],
    providers,
    costOf: ({ serviceTier, usage }) => {
      priced.push(serviceTier);
      return BigInt(usage.input ?? 0);
    },
    upstreams: [upstream.override(OPENAI)],
  });
  for (let i = 0; i < 2; i += 1) await fetchOver(protocol, fixture, `https://${OPENAI}/v1/batches/batch_1`);
  await waitFor(() => fixture.seen.calls.length === 2);
  expect(fixture.seen.calls.map((call) => [call.operation, call.input_tokens, call.output_tokens, call.cost_usd])).toEqual([
    ["fetch_batch", 1_000, 200, 0.000001],
    ["fetch_batch", null, null, null],
  ]);
  expect(new Set(priced)).toEqual(new Set(["batch"]));
});

test("Bedrock's event stream and its headers are read through the gateway", async () => {
  const event = (type: string, payload: unknown): Buffer =>
    eventStreamMessage({ ":event-type": type, ":message-type": "event" }, Buffer.from(JSON.stringify(payload)));
  const stream = Buffer.concat([
    event("contentBlockDelta", { delta: { text: "hi" } }),
    event("metadata", { usage: { inputTokens: 30, outputTokens: 628, totalTokens: 658 } }),
  ]);
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    const isStream = request.url?.endsWith("-stream") === true;
    response.setHeader("content-type", isStream ? "application/vnd.amazon.eventstream" : "application/json");
    if (!isStream) response.setHeader("x-amzn-bedrock-input-token-count", "12").setHeader("x-amzn-bedrock-output-token-count", "7");
    request.on("end", () => response.end(isStream ? stream : "{}"));
  });
  await using fixture = await gatewayFixture({ allow: [BEDROCK], providers, upstreams: [upstream.override(BEDROCK)] });
  const url = `https://${BEDROCK}/model/us.amazon.nova-pro-v1%3A0`;
  const streamed = await fetchInside(fixture, `${url}/converse-stream`, { body: "{}" });
  expect(Buffer.from(streamed.body).equals(stream)).toBe(true);
  await fetchInside(fixture, `${url}/invoke`, { body: "{}" });
  await waitFor(() => fixture.seen.calls.length === 2);
  expect(fixture.seen.calls).toMatchObject([
    {
      provider: "bedrock",
      model: "us.amazon.nova-pro-v1:0",
      streaming: true,
      input_tokens: 30,
      output_tokens: 628,
      usage_source: "reported",
    },
    { provider: "bedrock", streaming: false, input_tokens: 12, output_tokens: 7, usage_source: "reported" },
  ]);
});
