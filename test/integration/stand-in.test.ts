import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { connect } from "node:tls";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { Agent, fetch as undiciFetch } from "undici";
import { expect, test } from "vitest";
import { createStandIn, type StandIn } from "../../src/demo/stand-in.ts";
import { waitFor } from "../support/wait-for.ts";

/** `fetch` that trusts the stand-in's authority and nobody else. */
function fetchFor(standIn: StandIn): AsyncDisposable & { readonly fetch: typeof fetch } {
  const agent = new Agent({ connect: { ca: standIn.caPem } });
  const call = (input: string | URL | Request, init?: RequestInit) =>
    undiciFetch(input as string, { ...(init as object), dispatcher: agent });
  return { fetch: call, [Symbol.asyncDispose]: () => agent.close() };
}

const LONG = "lorem ipsum ".repeat(600);

test("the OpenAI SDK reads what the stand-in says it sent", async () => {
  await using standIn = await createStandIn({ delayMs: 0 });
  await using trusting = fetchFor(standIn);
  const client = new OpenAI({ apiKey: "k", baseURL: `${standIn.origin}/v1`, fetch: trusting.fetch, maxRetries: 0 });
  const messages = [{ role: "user" as const, content: LONG }];

  const whole = await client.chat.completions.create({ model: "gpt-5-mini", messages });
  expect(whole.usage?.prompt_tokens).toBe(standIn.sent[0]?.input);
  expect(whole.usage?.completion_tokens).toBe(standIn.sent[0]?.output);
  expect(whole.usage?.prompt_tokens_details?.cached_tokens).toBe(standIn.sent[0]?.cacheRead);
  expect(standIn.sent[0]?.cacheRead).toBeGreaterThan(0);

  const chunks = await Array.fromAsync(
    await client.chat.completions.create({ model: "gpt-5-mini", messages, stream: true, stream_options: { include_usage: true } }),
  );
  expect(chunks.length).toBeGreaterThan(3);
  expect(chunks.at(-1)?.choices).toEqual([]);
  expect(chunks.at(-1)?.usage?.total_tokens).toBe(standIn.sent[1]?.total);
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe(whole.choices[0]?.message.content);

  const silent = await Array.fromAsync(await client.chat.completions.create({ model: "gpt-5-mini", messages, stream: true }));
  expect(silent.every((chunk) => (chunk.usage ?? null) === null)).toBe(true);
  expect(standIn.sent[2]).toMatchObject({ reported: false, input: null });

  const stream = client.responses.stream({ model: "gpt-5-mini", input: "hello" });
  const response = await stream.finalResponse();
  expect(response.usage?.output_tokens).toBe(standIn.sent[3]?.output);
  expect(response.usage?.output_tokens_details.reasoning_tokens).toBe(standIn.sent[3]?.reasoning);
});

test("the Anthropic SDK reads what the stand-in says it sent", async () => {
  await using standIn = await createStandIn({ delayMs: 0 });
  await using trusting = fetchFor(standIn);
  const client = new Anthropic({ apiKey: "k", baseURL: standIn.origin, fetch: trusting.fetch, maxRetries: 0 });
  const request = { model: "claude-haiku-4-5", max_tokens: 100, messages: [{ role: "user" as const, content: LONG }] };
  const both = [await client.messages.create(request), await client.messages.stream(request).finalMessage()];
  for (const [index, { usage }] of both.entries()) {
    const sent = standIn.sent[index];
    const input = usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0);
    expect([input, usage.output_tokens, usage.cache_read_input_tokens]).toEqual([sent?.input, sent?.output, sent?.cacheRead]);
  }
  expect(standIn.sent[0]).toEqual({ ...standIn.sent[1], streaming: false });
});

test("Google's stream comes as events or as one array, with cumulative usage", async () => {
  await using standIn = await createStandIn({ delayMs: 0 });
  await using trusting = fetchFor(standIn);
  const ask = async (query: string): Promise<string> => {
    const url = `${standIn.origin}/v1beta/models/gemini-3.5-flash:streamGenerateContent${query}`;
    const body = JSON.stringify({ contents: [{ role: "user", parts: [{ text: "hi" }] }] });
    return (await trusting.fetch(url, { method: "POST", headers: { "x-goog-api-key": "k" }, body })).text();
  };
  const events = (await ask("?alt=sse")).split("\r\n\r\n").filter((event) => event !== "");
  const array = JSON.parse(await ask("")) as readonly { usageMetadata: { totalTokenCount: number } }[];
  expect(array.length).toBe(events.length);
  expect(array.at(-1)?.usageMetadata.totalTokenCount).toBe(standIn.sent[1]?.total);
});

test.each(["gzip", "br"] as const)("answers come in %s to whom accepts it", async (coding) => {
  await using standIn = await createStandIn({ delayMs: 0, coding });
  const unpack = coding === "gzip" ? gunzipSync : brotliDecompressSync;
  const body = JSON.stringify({ model: "command-a", stream: true, messages: [{ role: "user", content: "hi" }] });
  const head = `POST /v2/chat HTTP/1.1\r\nhost: api.cohere.com\r\nauthorization: Bearer k\r\nconnection: close\r\ncontent-length: ${body.length}\r\n`;
  const raw = async (accept: string): Promise<Buffer> => {
    const socket = connect({ port: standIn.port, host: "127.0.0.1", ca: standIn.caPem, servername: "localhost" });
    socket.write(`${head}accept-encoding: ${accept}\r\n\r\n${body}`);
    return Buffer.concat((await socket.toArray()) as Buffer[]);
  };
  expect((await raw("identity")).toString()).toContain("message-end");
  const packed = await raw(`deflate, ${coding}`);
  const [headers = ""] = packed.toString("latin1").split("\r\n\r\n", 1);
  expect(headers).toContain(`content-encoding: ${coding}`);
  expect(unpack(unchunk(packed.subarray(headers.length + 4))).toString()).toContain("message-end");
});

test("a piece is sent only when it may be, and a client that leaves gets no usage recorded", async () => {
  const gate = Promise.withResolvers<void>();
  await using standIn = await createStandIn({ delayMs: 0, beforePiece: (index) => (index === 1 ? gate.promise : undefined) });
  await using trusting = fetchFor(standIn);
  const left = new AbortController();
  const response = await trusting.fetch(`${standIn.origin}/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": "k" },
    body: JSON.stringify({ model: "claude-haiku-4-5", stream: true, max_tokens: 5, messages: [] }),
    signal: left.signal,
  });
  const reader = response.body?.getReader();
  expect(new TextDecoder().decode((await reader?.read())?.value)).toContain("message_start");
  left.abort();
  await expect(reader?.read()).rejects.toThrow();
  gate.resolve();
  await waitFor(() => standIn.requests.length === 1);
  expect(standIn.sent).toEqual([]);
});

test("a missing or unknown key is refused in the provider's own words", async () => {
  await using standIn = await createStandIn({ keys: ["good"] });
  await using trusting = fetchFor(standIn);
  const ask = (headers: Record<string, string>) =>
    trusting.fetch(`${standIn.origin}/v1/messages`, { method: "POST", headers, body: JSON.stringify({ model: "m", messages: [] }) });
  for (const headers of [{}, { "x-api-key": "bad" }]) {
    const response = await ask(headers);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ type: "error", error: { type: "authentication_error" } });
  }
  expect((await ask({ "x-api-key": "good" })).status).toBe(200);
  expect(standIn.requests.map(({ key }) => key)).toEqual([null, "bad", "good"]);
});

/** RFC 9112 §7.1, for bodies that are complete. */
function unchunk(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = body.indexOf("\r\n", at);
    const size = Number.parseInt(body.subarray(at, end).toString(), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(body.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}
