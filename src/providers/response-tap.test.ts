import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { createRequestReader } from "./request-reader.ts";
import { withRequestUnits } from "./request-units.ts";
import { createResponseTap, type ResponseHead } from "./response-tap.ts";
import type { Recognition, ResponseFacts } from "./types.ts";

const chat: Recognition = { provider: "openai", shape: "openai-chat", operation: "chat", billable: true, injectUsage: true };
const JSON_HEAD: ResponseHead = { status: 200, headers: { contentType: "application/json" } };
const SSE_HEAD: ResponseHead = { status: 200, headers: { contentType: "text/event-stream" } };
const USAGE = '"usage":{"prompt_tokens":57,"completion_tokens":9,"total_tokens":66}';

async function read(
  body: string | Buffer,
  head: ResponseHead,
  how: "complete" | "aborted" | "error" = "complete",
  call = chat,
): Promise<ResponseFacts> {
  const tap = createResponseTap(call, head);
  tap.write(Buffer.from(body));
  return tap.end(how);
}

describe("the tap", () => {
  it("never counts what is no count", async () => {
    for (const bad of ["-1", "1.5", '"12"', "1e400", "9007199254740993", "null", "true", "[5]", "{}"]) {
      const { usage } = await read(`{"usage":{"prompt_tokens":${bad},"completion_tokens":3}}`, JSON_HEAD);
      expect(usage?.input, bad).toBeNull();
      expect(usage?.output).toBe(3);
    }
  });

  it("keeps reading the same figures when a client hangs up behind the last event", async () => {
    const stream = `data: {"choices":[{"finish_reason":"stop"}],${USAGE}}\n\n`;
    expect(await read(stream, SSE_HEAD, "aborted")).toMatchObject({ source: "reported", outcome: "ok" });
    expect(await read(`data: {"choices":[{"finish_reason":null}],${USAGE}}\n\n`, SSE_HEAD, "aborted")).toMatchObject({
      source: "partial",
      outcome: "aborted",
    });
    expect(await read(`data: {"choices":[],${USAGE}}\n\ndata: [DONE]\n\n`, SSE_HEAD, "error")).toMatchObject({
      source: "reported",
      outcome: "ok",
    });
  });

  it("estimates the input too where it is told the request's size", async () => {
    const stream = 'data: {"choices":[{"delta":{"content":"12345678"}}]}\n\n';
    expect((await read(stream, SSE_HEAD, "aborted")).usage).toMatchObject({ input: null, output: 2, total: null });
    expect(await read(stream, { ...SSE_HEAD, requestBytes: 401 }, "aborted")).toMatchObject({
      source: "estimated",
      missing: "aborted",
      usage: { input: 101, output: 2, total: 103 },
    });
  });

  it.each([
    [429, "rate_limited"],
    [400, "client_error"],
    [302, "client_error"],
    [503, "server_error"],
    [529, "server_error"],
  ] as const)("does not read tokens out of a %i", async (status, outcome) => {
    expect(await read(`{${USAGE}}`, { ...JSON_HEAD, status })).toMatchObject({ usage: null, source: "none", missing: null, outcome });
  });

  it("says why usage is missing", async () => {
    const coded = (contentEncoding: string): ResponseHead => ({
      status: 200,
      headers: { contentType: "application/json", contentEncoding },
    });
    expect(await read("{}", JSON_HEAD)).toMatchObject({ source: "none", missing: "not_sent" });
    expect(await read("", JSON_HEAD)).toMatchObject({ source: "none", missing: "not_sent" });
    expect(await read("<html>", JSON_HEAD)).toMatchObject({ missing: "unparsable" });
    expect(await read('{"usage" 5}', JSON_HEAD)).toMatchObject({ missing: "unparsable" });
    expect(await read("data: {x}\n\n", SSE_HEAD)).toMatchObject({ missing: "unparsable" });
    expect(await read("{}", coded("compress"))).toMatchObject({ missing: "encoding" });
    expect(await read(Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff]), coded("gzip"))).toMatchObject({
      missing: "encoding",
    });
    expect(await read(gzipSync(Buffer.alloc(8_000_000, " ")), { ...coded("gzip") })).toMatchObject({ missing: "tap_overflow" });
    expect(await read(`{"usage":{"prompt_tokens":1,"pad":"${"x".repeat(70_000)}"}}`, JSON_HEAD)).toMatchObject({ missing: "tap_overflow" });
  });

  it("meters what it could decode before the coding broke", async () => {
    const good = gzipSync(`data: {"choices":[],${USAGE}}\n\n`);
    const head: ResponseHead = { status: 200, headers: { contentType: "text/event-stream", contentEncoding: "gzip" } };
    expect(await read(Buffer.concat([good, Buffer.from("garbage")]), head)).toMatchObject({
      usage: { input: 57, output: 9 },
      source: "reported",
    });
    expect(await read(good.subarray(0, -3), head, "error")).toMatchObject({
      usage: { input: 57, output: 9 },
      source: "partial",
      outcome: "stream_error",
    });
  });

  it("keeps streams apart that are read in turn, wherever their pieces are cut", async () => {
    const anthropic: Recognition = { ...chat, provider: "anthropic", shape: "anthropic-messages", operation: "messages" };
    const streams = Array.from({ length: 40 }, (_, i) => {
      const isChat = i % 2 === 0;
      const events = isChat
        ? [
            `{"model":"gpt-${i}","choices":[{"delta":{"content":"${"x".repeat(i)}"}}]}`,
            `{"choices":[],"usage":{"prompt_tokens":${i}}}`,
            "[DONE]",
          ]
        : [
            `{"type":"message_start","message":{"model":"claude-${i}","usage":{"input_tokens":${i},"output_tokens":1}}}`,
            `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":${i * 3}}}`,
            '{"type":"message_stop"}',
          ];
      // every seventh breaks off within an event, and its scanner with it
      const text = events.map((event) => `data: ${event}\n\n`).join("");
      return {
        i,
        isChat,
        rest: Buffer.from(i % 7 === 0 ? text.slice(0, -9) : text),
        tap: createResponseTap(isChat ? chat : anthropic, SSE_HEAD),
      };
    });
    for (let round = 0; streams.some(({ rest }) => rest.length > 0); round += 1) {
      for (const stream of streams) {
        const length = 1 + ((round * 31 + stream.i * 17) % 23);
        stream.tap.write(stream.rest.subarray(0, length));
        stream.rest = stream.rest.subarray(length);
      }
    }
    for (const { i, isChat, tap } of streams) {
      const { usage, responseModel } = await tap.end("complete");
      expect(responseModel).toBe(isChat ? `gpt-${i}` : `claude-${i}`);
      expect(usage).toMatchObject(isChat ? { input: i } : { input: i, output: i * 3 });
    }
  });

  it("skips a bad line of NDJSON and no other damage", async () => {
    const cohere: Recognition = { ...chat, provider: "cohere", shape: "cohere" };
    const lines =
      '{"text":"a"}\n{oops}\n{"response":{"meta":{"tokens":{"input_tokens":5,"output_tokens":6}}},"finish_reason":"COMPLETE"}\n';
    expect((await read(lines, JSON_HEAD, "complete", cohere)).usage).toMatchObject({ input: 5, output: 6 });
    // a broken document may not lend its inner lines
    expect((await read(`{"a":[}\n{${USAGE}}\n`, JSON_HEAD)).usage).toBeNull();
  });

  it("does not take usage from inside text, other keys or other depths", async () => {
    const body = JSON.stringify({
      choices: [{ message: { content: `{${USAGE}}`, usage: { prompt_tokens: 1 } } }],
      metadata: { usage: { prompt_tokens: 2 } },
      Usage: { prompt_tokens: 3 },
    });
    expect((await read(body, JSON_HEAD)).usage).toBeNull();
  });

  it("reads a 100 MB body in constant memory", async () => {
    const tap = createResponseTap(chat, JSON_HEAD);
    const piece = Buffer.alloc(1 << 20, "iVBORw0KGgo=");
    tap.write(Buffer.from('{"data":[{"b64_json":"'));
    const before = process.memoryUsage();
    for (let i = 0; i < 100; i += 1) tap.write(piece);
    const after = process.memoryUsage();
    tap.write(Buffer.from(`"}],${USAGE}}`));
    expect((await tap.end("complete")).usage).toMatchObject({ input: 57, output: 9 });
    expect(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(8 << 20);
  });
});

describe("what the request says of the answer", () => {
  const speech: Recognition = { ...chat, shape: "openai-media", operation: "speech" };
  const sound: ResponseHead = { status: 200, headers: { contentType: "audio/mpeg" } };

  it("counts the characters that were spoken, as an estimate of ours", async () => {
    const reader = createRequestReader(speech, { contentType: "application/json" });
    reader.write(Buffer.from('{"model":"tts-1","input":"a\\u00e9\u{1F600}"}'));
    const request = await reader.end();
    expect(request).toMatchObject({ model: "tts-1", inputCharacters: 3 });
    const response = await read(Buffer.from([0xff, 0xfb, 0x90]), sound, "complete", speech);
    expect(withRequestUnits(speech, request, response)).toMatchObject({
      usage: { units: { characters: 3 } },
      source: "estimated",
      missing: null,
    });
    const failed = await read("{}", { ...JSON_HEAD, status: 500 }, "complete", speech);
    expect(withRequestUnits(speech, request, failed)).toBe(failed);
    expect(withRequestUnits(chat, request, response)).toBe(response);
  });

  it("leaves a text that is too long uncounted", async () => {
    const reader = createRequestReader(speech, { contentType: "application/json" });
    reader.write(Buffer.from(`{"input":"${"x".repeat(70_000)}","model":"tts-1"}`));
    const request = await reader.end();
    expect(request).toMatchObject({ model: "tts-1", unparsable: false });
    expect(request.inputCharacters).toBeUndefined();
  });
});

describe("the request reader", () => {
  const facts = async (body: string | Buffer, headers: { contentType?: string; contentEncoding?: string } = {}, call = chat) => {
    const reader = createRequestReader(call, headers);
    reader.write(Buffer.from(body));
    return reader.end();
  };

  it("reads what budgets and injection need, the largest limit of several", async () => {
    const body =
      '{"max_tokens":5,"max_completion_tokens":90,"n":3,"service_tier":"flex","stream_options":{"include_usage":false},"stream":true,"model":"m"}';
    expect(await facts(body)).toEqual({
      model: "m",
      streaming: true,
      includeUsage: false,
      maxOutputTokens: 90,
      choices: 3,
      serviceTier: "flex",
      ambiguous: false,
      unparsable: false,
    });
  });

  it("keeps bodies apart that are read in turn, and says the same when it is asked again", async () => {
    const bodies = Array.from({ length: 30 }, (_, i) =>
      Buffer.from(`{"n":${i},"model":"m-${i}","messages":["${"x".repeat(i)}"],"stream":true}`),
    );
    const readers = bodies.map(() => createRequestReader(chat, {}));
    for (let at = 0; at < 100; at += 7)
      for (const [i, reader] of readers.entries()) reader.write(bodies[i]?.subarray(at, at + 7) ?? Buffer.alloc(0));
    for (const [i, reader] of readers.entries()) {
      const first = await reader.end();
      expect(first).toMatchObject({ model: `m-${i}`, choices: i, streaming: true, unparsable: false });
      // what comes behind the end is nobody's: least of all that of the reader who has the scanner now
      reader.write(Buffer.from('{"model":"late"}'));
      expect(await reader.end()).toEqual(first);
    }
  });

  it("flags what parsers disagree on", async () => {
    for (const body of [
      '{"model":"a","model":"b"}',
      '{"model":"a","Model":"b"}',
      '{"max_tokens":1,"max_tokens":2}',
      '{"stream":true,"stream":false}',
      '{"mode\\u006c":"a","model":"b"}',
    ]) {
      expect((await facts(body)).ambiguous, body).toBe(true);
    }
    expect((await facts('{"model":"a","model":"a"}')).ambiguous).toBe(false);
    const google: Recognition = { ...chat, provider: "google", shape: "google-generate-content", model: "g", streaming: true };
    expect(await facts('{"generationConfig":{"maxOutputTokens":9},"generationConfig":{}}', {}, google)).toMatchObject({
      ambiguous: true,
      model: "g",
      streaming: true,
    });
    const assist: Recognition = { ...chat, provider: "google", shape: "google-code-assist", streaming: true };
    expect(
      await facts(
        '{"model":"g","generationConfig":{"maxOutputTokens":1},"request":{"generationConfig":{"maxOutputTokens":9}}}',
        {},
        assist,
      ),
    ).toMatchObject({
      ambiguous: false,
      model: "g",
      maxOutputTokens: 9,
    });
  });

  it("calls unparsable what it could not read, and reads on what it could", async () => {
    expect(await facts('{"model":"m","x":[')).toMatchObject({ model: "m", unparsable: true });
    expect(await facts('{"model":"m"} {}')).toMatchObject({ unparsable: true });
    expect(await facts(gzipSync('{"model":"m"}'), { contentEncoding: "gzip" })).toMatchObject({ model: "m", unparsable: false });
    expect(await facts(gzipSync('{"model":"m"}').subarray(0, -4), { contentEncoding: "gzip" })).toMatchObject({ unparsable: true });
    expect(await facts('{"model":"m"}', { contentEncoding: "compress" })).toMatchObject({ model: null, unparsable: true });
    expect(await facts("")).toMatchObject({ model: null, unparsable: false });
    expect(await facts("--b\r\n", { contentType: "multipart/form-data; boundary=b" })).toMatchObject({ model: null, unparsable: true });
  });

  it("ignores a bomb and stays bounded", async () => {
    expect(
      await facts(gzipSync(Buffer.concat([Buffer.from('{"model":"m","x":"'), Buffer.alloc(32_000_000, "a")])), { contentEncoding: "gzip" }),
    ).toMatchObject({ unparsable: true });
    expect(await facts(`{"model":"${"m".repeat(300)}"}`)).toMatchObject({ model: null, unparsable: false });
    expect(await facts(`{"model":"${"m".repeat(5000)}"}`)).toMatchObject({ model: null, unparsable: true });
  });
});
