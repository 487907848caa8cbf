import { once } from "node:events";
import { connect } from "node:http2";
import type { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { createProviderTable } from "../../src/providers/table.ts";
import { openInside, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

/** Every piece that an upstream sends arrives by itself before it sends the next: nothing is gathered, split or held back. */

const OPENAI = "api.openai.com";
const ANTHROPIC = "api.anthropic.com";
const OLLAMA = "ollama.corp.example";

const start = '{"type":"message_start","message":{"id":"msg_1","model":"claude-opus-5","usage":{"input_tokens":9,"output_tokens":2}}}';
const EVENTS =
  `event: message_start\ndata: ${start}\n\n` +
  'event: content_block_delta\r\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hé…"}}\r\n\r\n: ping\n\n' +
  'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":418}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n';
const ANSWER =
  '{"id":"c1","model":"gpt-5-mini","choices":[{"message":{"content":"Hé…"}}],"usage":{"prompt_tokens":9,"completion_tokens":418}}';
const LINES = '{"model":"m","message":{"content":"Hé"},"done":false}\n{"model":"m","done":true,"prompt_eval_count":9,"eval_count":418}\n';
const chunk = (rest: string): string => `data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-5-mini",${rest}}\n\n`;
/** asked for by us and taken out again: whole events, since one is held until it is known not to be the one */
const INJECTED = [
  chunk('"choices":[{"index":0,"delta":{"content":"Hé"}}],"usage":null'),
  ": keep-alive\n\n",
  chunk('"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null'),
];
const TAKEN_OUT = chunk('"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":418,"total_tokens":427}');

/** Pieces of 1 to 7 bytes: inside of lines, names, numbers and characters. */
function pieces(text: string): readonly Buffer[] {
  const bytes = Buffer.from(text);
  const found: Buffer[] = [];
  for (let at = 0, size = 1; at < bytes.length; at += size, size = (size % 7) + 1) found.push(bytes.subarray(at, at + size));
  return found;
}

const CASES = {
  "events of Anthropic": {
    host: ANTHROPIC,
    path: "/v1/messages",
    body: '{"stream":true}',
    type: "text/event-stream",
    sent: pieces(EVENTS),
  },
  "one JSON answer": { host: OPENAI, path: "/v1/chat/completions", body: "{}", type: "application/json", sent: pieces(ANSWER) },
  "lines of JSON": { host: OLLAMA, path: "/api/chat", body: "{}", type: "application/x-ndjson", sent: pieces(LINES) },
  "events without the one that was asked for": {
    ...{ host: OPENAI, path: "/v1/chat/completions", body: '{"stream":true}', type: "text/event-stream" },
    sent: INJECTED.map((text) => Buffer.from(text)),
    hidden: Buffer.from(TAKEN_OUT),
  },
} as const;

describe.each(["h1", "h2"])("over %s", (protocol) => {
  test.each(Object.entries(CASES))("%s", async (_name, { host, path, body, type, sent, ...more }) => {
    let send: (piece: Buffer, isLast?: boolean) => void = () => undefined;
    await using upstream = await testUpstream((request, response) => {
      request.resume().on("end", () => {
        response.socket?.setNoDelay(true);
        response.writeHead(200, { "content-type": type }).flushHeaders();
        send = (piece, isLast) => void (isLast === true ? response.end(piece) : response.write(piece));
      });
    });
    await using fixture = await gatewayFixture({
      allow: [host],
      providers: createProviderTable({ customDomains: [], providers: [{ name: "ollama", hosts: [OLLAMA], shape: "ollama" }] }),
      upstreams: [upstream.override(host)],
    });
    const headers = { "content-type": "application/json" };
    let answer: Readable;
    await using stack = new AsyncDisposableStack();
    if (protocol === "h1") answer = await openInside(fixture, `https://${host}${path}`, { body, headers });
    else {
      const inside = await tlsInside(fixture, host, { alpn: ["h2"] });
      const session = stack.adopt(connect(`https://${host}`, { createConnection: () => inside }), (open) => open.destroy());
      const stream = session.request({ ":method": "POST", ":path": path, ...headers });
      stream.end(body);
      // the head comes before there is any body
      await once(stream, "response", { signal: AbortSignal.timeout(20_000) });
      answer = stream;
    }
    const received: Buffer[] = [];
    answer.on("data", (bytes: Buffer) => received.push(bytes));
    for (const [at, piece] of sent.entries()) {
      send(piece);
      await waitFor(() => received.length > at, { intervalMs: 0, what: `piece ${at}, which must not wait for the next one` });
    }
    const ended = once(answer, "end");
    send("hidden" in more ? more.hidden : Buffer.alloc(0), true);
    await ended;
    expect(received.map((bytes) => bytes.toString("latin1"))).toEqual(sent.map((bytes) => bytes.toString("latin1")));
    await waitFor(() => fixture.seen.calls.length === 1);
    expect(fixture.seen.calls[0]).toMatchObject({ input_tokens: 9, output_tokens: 418, usage_source: "reported" });
  });
});
