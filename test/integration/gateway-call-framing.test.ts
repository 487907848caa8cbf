import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import type { ServerResponse } from "node:http";
import { constants, createGzip } from "node:zlib";
import { expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import type { Log } from "../../src/base/log.ts";
import { createMetrics } from "../../src/metrics/create-metrics.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { makeBinding } from "../../src/secrets/binding.ts";
import { fetchOver, openOver, type Protocol, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

/** Vectors whose point is when bytes come, or that they do not: through the gateway, over both protocols. */

const ANTHROPIC = "api.anthropic.com";
const DEEPSEEK = "api.deepseek.com";
const GOOGLE = "generativelanguage.googleapis.com";
const OPENAI = "api.openai.com";
const providers = createProviderTable({ customDomains: [] });
const JSON_BODY = { "content-type": "application/json" };

const event = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify({ type: name, ...data })}\n\n`;
const START = event("message_start", {
  message: { id: "msg_T5", model: "claude-opus-4-6", usage: { input_tokens: 9, cache_read_input_tokens: 15_000, output_tokens: 2 } },
});
const DELTA = event("content_block_delta", { index: 0, delta: { type: "text_delta", text: "…" } });
const END = event("message_delta", { delta: { stop_reason: "end_turn" }, usage: { output_tokens: 418 } }) + event("message_stop", {});

/** An upstream of `host` that hands its answer to the test, and a gateway before it. */
async function setting(host: string, headers: Record<string, string>) {
  const stack = new AsyncDisposableStack();
  const answers: ServerResponse[] = [];
  const upstream = stack.use(
    await testUpstream((request, response) => {
      request.resume().on("end", () => {
        response.writeHead(200, headers);
        response.flushHeaders();
        answers.push(response);
      });
    }),
  );
  const fixture = stack.use(await gatewayFixture({ allow: [host], upstreams: [upstream.override(host)], providers }));
  return { upstream, fixture, answers, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test.each(PROTOCOLS)("V40: events of a gzip stream pass one by one, coded as they came (%s)", async (protocol) => {
  await using at = await setting(ANTHROPIC, { "content-type": "text/event-stream", "content-encoding": "gzip" });
  const opened = await openOver(protocol, at.fixture, `https://${ANTHROPIC}/v1/messages`, {
    body: '{"model":"claude-opus-4-6","stream":true,"messages":[]}',
    headers: { ...JSON_BODY, "accept-encoding": "gzip" },
  });
  expect(opened.headers["content-encoding"]).toBe("gzip");
  const [answer] = at.answers;
  const coder = createGzip();
  const sent: Buffer[] = [];
  const received: Buffer[] = [];
  coder.on("data", (bytes: Buffer) => {
    sent.push(bytes);
    answer?.write(bytes);
  });
  opened.body.on("data", (bytes: Buffer) => received.push(bytes));
  for (const text of [START, DELTA, END]) {
    await new Promise<void>((done) => coder.write(text, () => coder.flush(constants.Z_SYNC_FLUSH, done)));
    // all of it is there before the next event is written: nothing waits for more
    await waitFor(() => Buffer.concat(received).equals(Buffer.concat(sent)), { what: "the event as it was sent" });
  }
  coder.end();
  await once(coder, "end");
  answer?.end();
  await once(opened.body, "end");
  expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true);
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(at.fixture.seen.calls[0]).toMatchObject({
    input_tokens: 15_009,
    cache_read_tokens: 15_000,
    output_tokens: 418,
    usage_source: "reported",
    call_outcome: "ok",
  });
});

// the silence is what is tested: a timer of 30 s anywhere on the way would end it
test("V61: an answer that is silent for 31 s behind forty blank lines is not timed out", { timeout: 60_000 }, async () => {
  await using at = await setting(DEEPSEEK, { "content-type": "application/json" });
  const ask = async (protocol: Protocol) =>
    fetchOver(protocol, at.fixture, `https://${DEEPSEEK}/chat/completions`, {
      body: '{"model":"deepseek-chat","messages":[]}',
      headers: JSON_BODY,
    });
  const asked = PROTOCOLS.map(ask);
  await waitFor(() => at.answers.length === 2);
  for (const answer of at.answers) answer.write("\n".repeat(40));
  await new Promise((resolve) => setTimeout(resolve, 31_000));
  const usage = { prompt_tokens: 1_200, completion_tokens: 80, total_tokens: 1_280, prompt_cache_hit_tokens: 1_152 };
  const body = JSON.stringify({ id: "d1", model: "deepseek-chat", choices: [], usage });
  for (const answer of at.answers) answer.end(body);
  for (const { status, text } of await Promise.all(asked)) expect([status, text]).toEqual([200, "\n".repeat(40) + body]);
  await waitFor(() => at.fixture.seen.calls.length === 2);
  const wanted = { input_tokens: 1_200, output_tokens: 80, cache_read_tokens: 1_152, usage_source: "reported", call_outcome: "ok" };
  expect(at.fixture.seen.calls).toMatchObject([wanted, wanted]);
});

test.each(PROTOCOLS)("V62: a comment between events reaches the client before anything comes behind it (%s)", async (protocol) => {
  await using at = await setting(DEEPSEEK, { "content-type": "text/event-stream" });
  const { body } = await openOver(protocol, at.fixture, `https://${DEEPSEEK}/v1/chat/completions`, {
    body: '{"model":"deepseek-chat","stream":true,"stream_options":{"include_usage":true},"messages":[]}',
    headers: JSON_BODY,
  });
  const [answer] = at.answers;
  const last = 'data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":8,"total_tokens":20}}\n\ndata: [DONE]\n\n';
  for (const text of [": keep-alive\n\n", ": keep-alive\n\n", 'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', ": keep-alive\n\n"]) {
    const got = once(body, "data", { signal: AbortSignal.timeout(20_000) });
    answer?.write(text);
    expect(String((await got)[0])).toBe(text);
  }
  const got = once(body, "data", { signal: AbortSignal.timeout(20_000) });
  answer?.end(last);
  expect(String((await got)[0])).toBe(last);
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(at.fixture.seen.calls[0]).toMatchObject({ input_tokens: 12, output_tokens: 8, call_outcome: "ok" });
});

test.each(PROTOCOLS)(
  "V85: an answer shorter than its length is cut off for the client, and partial in the record (%s)",
  async (protocol) => {
    const body = START + DELTA;
    const head = `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: ${Buffer.byteLength(body + END)}\r\n\r\n`;
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.once("data", () => socket.end(head + body));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await using fixture = await gatewayFixture({
      allow: [ANTHROPIC],
      upstreams: [{ host: ANTHROPIC, url: new URL(`http://localhost:${port}`) }],
      providers,
    });
    const opened = await openOver(protocol, fixture, `https://${ANTHROPIC}/v1/messages`, {
      body: '{"model":"claude-opus-4-6","stream":true,"messages":[]}',
      headers: JSON_BODY,
    });
    const chunks: Buffer[] = [];
    opened.body.on("data", (chunk: Buffer) => chunks.push(chunk));
    const [error] = (await once(opened.body, "error", { signal: AbortSignal.timeout(20_000) }).catch((caught: unknown) => [caught])) as [
      Error,
    ];
    expect(error.message).toMatch(/aborted|closed|reset|NGHTTP2/i);
    expect(Buffer.concat(chunks).toString()).toBe(body);
    expect(opened.body.readableEnded).toBe(false);
    await waitFor(() => fixture.seen.calls.length === 1);
    expect(fixture.seen.calls[0]).toMatchObject({ usage_source: "partial", input_tokens: 15_009, call_outcome: "stream_error" });
    expect(fixture.seen.exchanges[0]).toMatchObject({ end: "upstream_error" });
    server.close();
  },
);

test("V88: of three pipelined calls the second streams: answers in order, a record with its tokens for each", async () => {
  const usage = (input: number) => ({ prompt_tokens: input, completion_tokens: 1, total_tokens: input + 1 });
  const order: string[] = [];
  await using upstream = await testUpstream((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      const { model } = JSON.parse(text) as { readonly model: string };
      order.push(model);
      if (model !== "b") {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ model, choices: [], usage: usage(model === "a" ? 10 : 30) }));
        return;
      }
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write('data: {"model":"b","choices":[{"delta":{"content":"one"}}]}\n\n', () =>
        response.end(`data: ${JSON.stringify({ model, choices: [], usage: usage(20) })}\n\ndata: [DONE]\n\n`),
      );
    });
  });
  await using fixture = await gatewayFixture({ allow: [OPENAI], upstreams: [upstream.override(OPENAI)], providers });
  const socket = await tlsInside(fixture, OPENAI);
  const call = (body: object, close = ""): string => {
    const text = JSON.stringify(body);
    return `POST /v1/chat/completions HTTP/1.1\r\nHost: ${OPENAI}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n${close}\r\n${text}`;
  };
  const asked = { stream_options: { include_usage: true }, stream: true };
  socket.write(call({ model: "a" }) + call({ model: "b", ...asked }) + call({ model: "c" }, "Connection: close\r\n"));
  const text = await readUntilClose(socket);
  expect(order).toEqual(["a", "b", "c"]);
  expect(text.match(/HTTP\/1\.1 200|"model":"[abc]"|\[DONE\]/g)).toEqual([
    "HTTP/1.1 200",
    '"model":"a"',
    "HTTP/1.1 200",
    '"model":"b"',
    '"model":"b"',
    "[DONE]",
    "HTTP/1.1 200",
    '"model":"c"',
  ]);
  await waitFor(() => fixture.seen.calls.length === 3);
  expect(fixture.seen.calls.map((record) => [record.model, record.streaming, record.input_tokens, record.usage_source])).toEqual([
    ["a", false, 10, "reported"],
    ["b", true, 20, "reported"],
    ["c", false, 30, "reported"],
  ]);
});

test.each(PROTOCOLS)("V56: a key in a Gemini query is replaced upstream and stands in no record, metric or log (%s)", async (protocol) => {
  const metrics = createMetrics();
  const logged: string[] = [];
  const write = (...words: readonly unknown[]): void => void logged.push(JSON.stringify(words));
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
  const placeholder = "AIzaPlaceholder0123456789abcdefghijklmn";
  const real = "AIzaRealValue9876543210zyxwvutsrqponmlkj";
  const binding = { ...makeBinding({ name: "GEMINI_API_KEY", host: GOOGLE, query: "key" }), value: new Secret(real) };
  const chunk = { candidates: [], usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 44, totalTokenCount: 49 } };
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(`data: ${JSON.stringify(chunk)}\r\n\r\n`);
  });
  await using fixture = await gatewayFixture({
    allow: [GOOGLE],
    upstreams: [upstream.override(GOOGLE)],
    providers,
    metrics,
    log,
    secrets: [{ ...binding, placeholder }],
  });
  const path = "/v1beta/models/gemini-3.5-flash%3AstreamGenerateContent";
  const answer = await fetchOver(protocol, fixture, `https://${GOOGLE}${path}?alt=sse&key=${placeholder}`, {
    body: "{}",
    headers: JSON_BODY,
  });
  // a key of the organisation takes the place of whatever the sandbox sent as one
  fixture.attachment.update({ ...fixture.egress, secrets: [], orgKeys: [{ ...binding, placeholder: "", source: "org" }] });
  const ask = { body: "{}", headers: JSON_BODY };
  const stray = await fetchOver(protocol, fixture, `https://${GOOGLE}${path}?alt=sse&key=SECRET-of-its-own`, ask);
  await waitFor(() => fixture.seen.exchanges.length === 2 && fixture.seen.calls.length === 2);
  expect([answer.status, stray.status]).toEqual([200, 200]);
  expect(upstream.requests[0]?.url).toBe(`${path}?alt=sse&key=${real}`);
  for (const sent of upstream.requests) {
    const all = sent.url + sent.rawHeaders.join("\n");
    expect(all.split(real).length - 1).toBe(1);
    expect(all).not.toMatch(/SECRET-of-its-own|AIzaPlaceholder/);
  }
  expect(fixture.seen.calls).toMatchObject([
    { model: "gemini-3.5-flash", input_tokens: 5, output_tokens: 44 },
    { model: "gemini-3.5-flash", input_tokens: 5 },
  ]);
  const records = JSON.stringify(fixture.seen) + (await metrics.text()) + logged.join("\n") + answer.text + JSON.stringify(answer.headers);
  expect(records).not.toContain(real);
  expect(records).not.toContain("SECRET-of-its-own");
});
