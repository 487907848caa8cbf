import { once } from "node:events";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { createMetrics } from "../../src/metrics/create-metrics.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import type { FixtureOptions } from "../support/gateway/fixture.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { fetchInside, openInside } from "../support/gateway/client.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const OPENAI = "api.openai.com";
const ANTHROPIC = "api.anthropic.com";
const providers = createProviderTable({ customDomains: [] });

const CHUNKS = [
  'data: {"id":"chatcmpl-T2","object":"chat.completion.chunk","created":1795000002,"model":"gpt-5-mini-2025-08-07","choices":[{"index":0,"delta":{"role":"assistant","content":"Hé"},"finish_reason":null}],"usage":null}\n\n',
  'data: {"id":"chatcmpl-T2","object":"chat.completion.chunk","created":1795000002,"model":"gpt-5-mini-2025-08-07","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n',
  'data: {"id":"chatcmpl-T2","object":"chat.completion.chunk","created":1795000002,"model":"gpt-5-mini-2025-08-07","choices":[],"usage":{"prompt_tokens":57,"completion_tokens":9,"total_tokens":66,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}\n\n',
  "data: [DONE]\n\n",
];

function setting(options: FixtureOptions = {}): FixtureOptions {
  return { allow: [OPENAI, ANTHROPIC], providers, costOf: ({ usage }) => BigInt((usage.input ?? 0) * 1000), ...options };
}

function chatBody(extra: Record<string, unknown>, padding = 0): string {
  return JSON.stringify({ messages: [{ role: "user", content: "x".repeat(padding) }], model: "gpt-5-mini", ...extra });
}

test("a JSON call makes one record with its tokens and its price", async () => {
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    response.setHeader("content-type", "application/json");
    const body = {
      id: "chatcmpl-T1",
      model: "gpt-5-mini-2025-08-07",
      choices: [],
      usage: {
        prompt_tokens: 1412,
        completion_tokens: 318,
        total_tokens: 1730,
        prompt_tokens_details: { cached_tokens: 1024 },
        completion_tokens_details: { reasoning_tokens: 192 },
      },
    };
    request.on("end", () => response.end(JSON.stringify(body)));
  });
  await using fixture = await gatewayFixture(setting({ upstreams: [upstream.override(OPENAI)] }));
  const answer = await fetchInside(fixture, `https://${OPENAI}/v1/chat/completions`, {
    body: chatBody({}),
    headers: { "content-type": "application/json" },
  });
  expect(answer.status).toBe(200);
  await waitFor(() => fixture.seen.calls.length === 1 && fixture.seen.exchanges.length === 1);
  expect(fixture.seen.calls[0]).toMatchObject({
    provider: "openai",
    model: "gpt-5-mini",
    response_model: "gpt-5-mini-2025-08-07",
    status: 200,
    streaming: false,
    input_tokens: 1412,
    output_tokens: 318,
    total_tokens: 1730,
    cache_read_tokens: 1024,
    reasoning_tokens: 192,
    usage_source: "reported",
    call_outcome: "ok",
    cost_usd: 0.001412,
    decision: "allow",
    key_source: "none",
  });
  expect(fixture.seen.exchanges[0]).toMatchObject({ provider: "openai", request_id: fixture.seen.calls[0]?.request_id });
});

test("a 300 KiB streaming call is metered exactly, and its first byte arrives before the upstream's second chunk", async () => {
  let seenBody = "";
  let next: () => void = () => undefined;
  await using upstream = await testUpstream((request, response) => {
    request.setEncoding("utf8");
    request.on("data", (text: string) => (seenBody += text));
    request.on("end", () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(CHUNKS[0]);
      next = () => response.end(CHUNKS.slice(1).join(""));
    });
  });
  await using fixture = await gatewayFixture(setting({ upstreams: [upstream.override(OPENAI)] }));
  const sent = chatBody({ stream: true }, 300 * 1024);
  const response = await openInside(fixture, `https://${OPENAI}/v1/chat/completions`, {
    body: sent,
    headers: { "content-type": "application/json", "accept-encoding": "gzip, br" },
  });
  let text = "";
  for await (const chunk of response) {
    text += String(chunk);
    if (text === CHUNKS[0]) next();
  }
  // asked for upstream, taken out again downstream, nothing else touched
  expect(JSON.parse(seenBody)).toMatchObject({ stream: true, stream_options: { include_usage: true } });
  expect(upstream.requests[0]?.rawHeaders.join("\n")).toMatch(/accept-encoding\nidentity/i);
  expect(text).toBe([CHUNKS[0], CHUNKS[1], CHUNKS[3]].join(""));
  await waitFor(() => fixture.seen.calls.length === 1);
  expect(fixture.seen.calls[0]).toMatchObject({
    streaming: true,
    input_tokens: 57,
    output_tokens: 9,
    usage_source: "reported",
    model: "gpt-5-mini",
  });
  expect(fixture.seen.calls[0]?.ttft_ms).toBeGreaterThan(0);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]?.bytes_out).toBe(Buffer.byteLength(sent));
});

test("a client that asks for usage itself gets every byte; a compressed request is read too", async () => {
  let seenBody = Buffer.alloc(0);
  await using upstream = await testUpstream((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      seenBody = Buffer.concat(chunks);
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(CHUNKS.join(""));
    });
  });
  await using fixture = await gatewayFixture(setting({ upstreams: [upstream.override(OPENAI)] }));
  const body = gzipSync(chatBody({ stream: true, stream_options: { include_usage: true } }));
  const answer = await fetchInside(fixture, `https://${OPENAI}/v1/chat/completions`, {
    body,
    headers: { "content-type": "application/json", "content-encoding": "gzip" },
  });
  expect(answer.text).toBe(CHUNKS.join(""));
  expect(seenBody.equals(body)).toBe(true);
  await waitFor(() => fixture.seen.calls.length === 1);
  expect(fixture.seen.calls[0]).toMatchObject({ model: "gpt-5-mini", input_tokens: 57, output_tokens: 9, streaming: true });
});

test("how long chunks keep a reader waiting, and how long what was cached is kept, are counted", async () => {
  const metrics = createMetrics();
  const events = [
    'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"claude-x","usage":{"input_tokens":9,"cache_creation_input_tokens":100,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":70,"ephemeral_1h_input_tokens":30},"output_tokens":1}}}\n\n',
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":418}}\n\n',
    'event: message_stop\ndata: {"type":"message_stop"}\n\n',
  ];
  let send: ((event: string) => void) | undefined;
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    send = (event) => void (event === events.at(-1) ? response.end(event) : response.write(event));
  });
  await using fixture = await gatewayFixture(setting({ upstreams: [upstream.override(ANTHROPIC)], metrics }));
  const response = await openInside(fixture, `https://${ANTHROPIC}/v1/messages`, {
    body: JSON.stringify({ model: "claude-x", stream: true, messages: [] }),
    headers: { "content-type": "application/json" },
  });
  // each is read before the next is sent
  for (const event of events) {
    const got = once(response, "data", { signal: AbortSignal.timeout(20_000) });
    send?.(event);
    expect(String((await got)[0])).toBe(event);
  }
  await waitFor(() => fixture.seen.calls.length === 1);
  const text = await metrics.text();
  expect(text).toContain('agentkernel_llm_time_per_output_chunk_seconds_count{provider="anthropic"} 1');
  expect(Number(/time_per_output_chunk_seconds_sum\{provider="anthropic"\} (\S+)/.exec(text)?.[1])).toBeGreaterThan(0);
  const written = 'agentkernel_llm_cache_write_input_tokens_total{sandbox="box",provider="anthropic",model="claude-x"';
  expect(text).toContain(`${written},ttl="1h"} 30`);
  expect(text).toContain(`${written},ttl="5m"} 70`);
});

test("V40: a gzip-coded answer is metered and passed as it is", async () => {
  const events = [
    'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"claude-x","usage":{"input_tokens":9,"cache_creation_input_tokens":0,"cache_read_input_tokens":15000,"output_tokens":1}}}\n\n',
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":418}}\n\n',
    'event: message_stop\ndata: {"type":"message_stop"}\n\n',
  ].join("");
  const coded = gzipSync(events);
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "gzip" });
    for (const byte of coded) response.write(Buffer.from([byte]));
    response.end();
  });
  await using fixture = await gatewayFixture(setting({ upstreams: [upstream.override(ANTHROPIC)] }));
  const answer = await fetchInside(fixture, `https://${ANTHROPIC}/v1/messages`, {
    body: JSON.stringify({ model: "claude-x", stream: true, messages: [] }),
    headers: { "content-type": "application/json" },
  });
  expect(answer.body.equals(coded)).toBe(true);
  await waitFor(() => fixture.seen.calls.length === 1);
  expect(fixture.seen.calls[0]).toMatchObject({
    provider: "anthropic",
    model: "claude-x",
    input_tokens: 15009,
    cache_read_tokens: 15000,
    output_tokens: 418,
    usage_source: "reported",
  });
});

test("denied, failed and aborted calls have a record each, without tokens that nobody counted", async () => {
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    if (request.url?.includes("break") === true) request.socket.destroy();
    else {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(CHUNKS[0]);
    }
  });
  await using fixture = await gatewayFixture({ ...setting({ upstreams: [upstream.override(OPENAI)] }), allow: [OPENAI] });
  const denied = await fetchInside(fixture, `https://${ANTHROPIC}/v1/messages`, { body: "{}" });
  expect(denied.status).toBe(403);
  // the shape that Anthropic's own client reads, and the facts for everybody else
  expect(JSON.parse(denied.text)).toMatchObject({ type: "error", error: { type: "permission_error" }, host: ANTHROPIC, rule: "default" });
  await waitFor(() => fixture.seen.calls.length === 1);
  expect(fixture.seen.calls[0]).toMatchObject({
    provider: "anthropic",
    decision: "deny",
    call_outcome: "denied",
    input_tokens: null,
    cost_usd: null,
    status: 403,
  });
  const failed = await fetchInside(fixture, `https://${OPENAI}/v1/chat/completions?break`, { body: chatBody({}) });
  expect(failed.status).toBe(502);
  expect(JSON.parse(failed.text)).toMatchObject({ error: { type: "upstream_error" } });
  await waitFor(() => fixture.seen.calls.length === 2);
  expect(fixture.seen.calls[1]).toMatchObject({ call_outcome: "server_error", input_tokens: null });
  const response = await openInside(fixture, `https://${OPENAI}/v1/chat/completions`, { body: chatBody({ stream: true }) });
  response.destroy();
  await waitFor(() => fixture.seen.calls.length === 3);
  expect(fixture.seen.calls[2]).toMatchObject({ call_outcome: "aborted", model: "gpt-5-mini" });
});

test("while nothing can be recorded nothing leaves", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("never"));
  let blocked: string | null = "the disk is full";
  await using fixture = await gatewayFixture({ ...setting({ upstreams: [upstream.override(OPENAI)] }), blocked: () => blocked });
  const answer = await fetchInside(fixture, `https://${OPENAI}/anything`);
  expect(answer.status).toBe(503);
  expect(JSON.parse(answer.text)).toMatchObject({ error: "audit_unavailable" });
  expect(upstream.connections()).toBe(0);
  blocked = null;
  expect((await fetchInside(fixture, `https://${OPENAI}/anything`)).status).toBe(200);
});
