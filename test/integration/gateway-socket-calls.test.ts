import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { budgetGate, testBudget, type GateFindings, type GateSettings } from "../support/gateway/budget-gate.ts";
import { tlsInside } from "../support/gateway/client.ts";
import { type Fixture, gatewayFixture } from "../support/gateway/fixture.ts";
import { rawSocket, type RawPair } from "../support/gateway/raw-socket.ts";
import { KEY, REAL } from "../support/gateway/secret.ts";
import { testUpstream, type TestUpstream } from "../support/gateway/upstream.ts";
import { callInWords, loadSocketVectors, MASK, SOCKET_STYLES, socketWriter } from "../support/socket-vectors.ts";
import { waitFor } from "../support/wait-for.ts";
import { frame } from "../support/websocket-frames.ts";

/** V27, V28, V35, V36, V49, V59: model calls in WebSockets, through the gateway as bytes. */

const OPENAI = "api.openai.com";
const VECTORS = loadSocketVectors();
const HOSTS = [...new Set(VECTORS.map(({ host }) => host))];
const CREATE = '{"type":"response.create","model":"gpt-5-mini","max_output_tokens":100,"input":"hi"}';
const DELTA = '{"type":"response.output_text.delta","delta":"some text that was generated"}';
const done = (id: string, output = 7): string =>
  JSON.stringify({
    type: "response.completed",
    response: { id, status: "completed", model: "gpt-5-mini", usage: { input_tokens: 5, output_tokens: output, total_tokens: 5 + output } },
  });

type Setting = AsyncDisposable & { readonly fixture: Fixture; readonly upstream: TestUpstream; readonly findings: GateFindings };

async function setting(gate?: GateSettings): Promise<Setting> {
  const stack = new AsyncDisposableStack();
  const findings: GateFindings = [];
  const store = stack.use(openStore(":memory:", { log: silentLog }));
  const upstream = stack.use(await testUpstream((_request, response) => response.writeHead(426).end()));
  const fixture = stack.use(
    await gatewayFixture({
      allow: HOSTS,
      slots: HOSTS.length,
      providers: createProviderTable({ customDomains: [] }),
      upstreams: HOSTS.map((host) => upstream.override(host)),
      ...(gate === undefined ? {} : { gate: budgetGate(store, gate, findings) }),
    }),
  );
  return { fixture, upstream, findings, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const responses = (at: Setting, extensions?: string): Promise<RawPair> =>
  rawSocket(at.fixture, at.upstream, { host: OPENAI, path: "/v1/responses", ...(extensions === undefined ? {} : { extensions }) });

/** Writes in pieces, so that frames and chunks have nothing to do with each other. */
async function write(to: RawPair["client"], bytes: Buffer, size: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += size) {
    to.socket.write(bytes.subarray(at, at + size));
    if (bytes.length / size < 100) await new Promise((resolve) => setImmediate(resolve));
  }
}

let free: Setting;
let limited: Setting;
beforeAll(async () => {
  free = await setting();
  limited = await setting({ budgets: [testBudget("requests", 100_000)] });
});
afterAll(async () => {
  await free[Symbol.asyncDispose]();
  await limited[Symbol.asyncDispose]();
});

describe.each(VECTORS.map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
  test.each(Object.entries(SOCKET_STYLES))("every byte passes both ways, and every call is recorded: %s", async (_name, style) => {
    // without limits nothing is held; with one that is never reached every message of the client is judged before it leaves
    for (const at of [free, limited]) {
      const { seen } = at.fixture;
      seen.calls.length = 0;
      seen.exchanges.length = 0;
      const extensions = style.deflate === "none" ? {} : { extensions: "permessage-deflate" };
      const { client, server, head } = await rawSocket(at.fixture, at.upstream, { host: vector.host, path: vector.path, ...extensions });
      expect(head.includes("permessage-deflate")).toBe(style.deflate !== "none");
      const writer = socketWriter(style);
      const sent = { client: [] as Buffer[], server: [] as Buffer[] };
      const size = at === free ? 1 << 20 : 333;
      for (const one of vector.frames) {
        const [kind, text = ""] = Object.entries(one)[0] ?? [];
        const side = kind === "client" ? "client" : "server";
        const bytes = side === "client" ? await writer.client(text) : await writer.server(text, kind === "server_binary" ? 2 : 1);
        sent[side].push(bytes);
        await write(side === "client" ? client : server, bytes, size);
        await (side === "client" ? server : client).has(Buffer.concat(sent[side]).length);
      }
      if (vector.ended === "complete") {
        const close = frame(Buffer.from([0x03, 0xe8]), { opcode: 8 });
        sent.server.push(close);
        server.socket.write(close);
        await client.has(Buffer.concat(sent.server).length);
        client.socket.end();
      } else if (vector.ended === "aborted") client.socket.destroy();
      else server.socket.destroy();
      await waitFor(() => seen.exchanges.length === 1);
      expect(client.received().equals(Buffer.concat(sent.server)), "what the server sent").toBe(true);
      expect(server.received().equals(Buffer.concat(sent.client)), "what the client sent").toBe(true);
      const wanted = vector.expect.calls;
      const read = seen.calls.map((call, index) => {
        const all = callInWords(call);
        return Object.fromEntries(Object.keys(all).flatMap((key) => (key in (wanted[index] ?? all) ? [[key, all[key]]] : [])));
      });
      const known = Object.keys(callInWords(seen.calls[0] ?? ({} as never)));
      expect(read).toEqual(wanted.map((call) => Object.fromEntries(Object.entries(call).filter(([key]) => known.includes(key)))));
      for (const call of seen.calls) expect(call).toMatchObject({ provider: vector.provider, host: vector.host, decision: "allow" });
    }
  });
});

test.each([
  ["none", undefined],
  ["permessage-deflate", "permessage-deflate"],
])(
  "V95: a call past the budget is answered in the provider's shape and never leaves; the socket ends with 1008 (%s)",
  async (_name, extensions) => {
    await using at = await setting({ budgets: [testBudget("tokens", 300)] });
    const { client, server } = await responses(at, extensions);
    const writer = socketWriter({ fragments: 2, deflate: extensions === undefined ? "none" : "takeover" });
    const first = await writer.client(CREATE);
    await write(client, first, 10);
    await server.has(first.length);
    const answer = Buffer.concat([await writer.server(DELTA, 1), await writer.server(done("resp_1", 200), 1)]);
    server.socket.write(answer);
    await client.has(answer.length);
    await waitFor(() => at.fixture.seen.calls.length === 1);
    // 205 of 300 are used; 100 and the request's bytes do not fit any more
    client.socket.write(await writer.client(CREATE));
    await waitFor(() => at.fixture.seen.exchanges.length === 1);
    await waitFor(() => client.socket.readableEnded);
    expect(server.received().equals(first)).toBe(true);
    const rest = client.received().subarray(answer.length);
    const length = rest.readUInt16BE(2);
    expect([rest[0], rest[1]]).toEqual([0x81, 126]);
    expect(JSON.parse(rest.subarray(4, 4 + length).toString())).toMatchObject({
      type: "error",
      status: 403,
      error: { type: "policy_denied", code: "policy_denied" },
      rule: "budget:of-tokens",
    });
    const close = rest.subarray(4 + length);
    expect([close[0], close.readUInt16BE(2)]).toEqual([0x88, 1008]);
    expect(close.subarray(4).toString()).toContain("budget:of-tokens");
    expect(at.fixture.seen.calls.map(({ decision, call_outcome, status }) => [decision, call_outcome, status])).toEqual([
      ["allow", "ok", 101],
      ["deny", "denied", 403],
    ]);
    expect(at.fixture.seen.decisions.at(-1)).toMatchObject({ decision: "deny", rule: "budget:of-tokens", host: OPENAI });
  },
);

test("V95: calls side by side in many sockets never take more than the budget has", async () => {
  await using at = await setting({ budgets: [testBudget("requests", 5)] });
  const pairs: RawPair[] = [];
  for (let i = 0; i < 12; i += 1) pairs.push(await responses(at));
  const writer = socketWriter({ fragments: 1, deflate: "none" });
  const create = await writer.client(CREATE);
  for (const { client } of pairs) client.socket.write(create);
  await waitFor(() => at.fixture.seen.calls.length === 7);
  const reached = (): number => pairs.filter(({ server }) => server.received().equals(create)).length;
  await waitFor(() => reached() >= 5);
  expect(reached()).toBe(5);
  expect(at.fixture.seen.calls.every(({ decision }) => decision === "deny")).toBe(true);
});

test("a refusal waits for the end of the message that the server is in, and stands between two messages", async () => {
  await using at = await setting({ models: { allow: ["gpt-5*"] } });
  const { client, server } = await responses(at);
  const writer = socketWriter({ fragments: 3, deflate: "none" });
  client.socket.write(await writer.client(CREATE));
  const delta = await writer.server(DELTA, 1);
  server.socket.write(delta.subarray(0, 20));
  await client.has(20);
  client.socket.write(await writer.client(CREATE.replace("gpt-5-mini", "o3-pro")));
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(client.received()).toHaveLength(20);
  server.socket.write(Buffer.concat([delta.subarray(20), delta.subarray(0, 5)]));
  await waitFor(() => client.socket.readableEnded);
  expect(client.received().subarray(0, delta.length).equals(delta)).toBe(true);
  expect(client.received().subarray(delta.length, delta.length + 2)).toEqual(Buffer.from([0x81, 126]));
  await waitFor(() => server.socket.destroyed);
  // the call that was under way is cut, and counts as what is known of it
  await waitFor(() => at.fixture.seen.calls.length === 2);
  expect(at.fixture.seen.calls[0]).toMatchObject({ decision: "deny", model: "o3-pro", call_outcome: "denied" });
  expect(at.fixture.seen.calls[1]).toMatchObject({ model: "gpt-5-mini", call_outcome: "aborted", usage_source: "estimated" });
});

test("calls that a client asks for ahead take no more memory than is bounded, and pass while nobody limits them", async () => {
  await using at = await setting();
  const { client, server } = await responses(at);
  const asked = frame(Buffer.from(CREATE), { mask: MASK });
  const before = at.fixture.metrics.count("llmStarted");
  client.socket.write(Buffer.concat(Array.from({ length: 500 }, () => asked)));
  await server.has(500 * asked.length);
  expect(at.fixture.metrics.count("llmStarted") - before).toBe(64);
  // and what is answered past it is recorded all the same
  server.socket.write(Buffer.concat(Array.from({ length: 70 }, (_, n) => frame(Buffer.from(done(`resp_${n}`))))));
  await waitFor(() => at.fixture.seen.calls.length === 70);
  expect(at.fixture.metrics.count("llmEnded")).toBe(64);
  client.socket.destroy();
});

test("the end of a message that a refusal waited for is searched for keys like all before it", async () => {
  await using at = await setting({ models: { allow: ["gpt-5*"] } });
  at.fixture.attachment.update({ ...at.fixture.egress, orgKeys: [{ ...KEY, host: OPENAI }] });
  const { client, server } = await responses(at);
  client.socket.write(frame(Buffer.from(CREATE), { mask: MASK }));
  const delta = frame(Buffer.from(DELTA.replace("text that", `text ${REAL} that`)));
  server.socket.write(delta.subarray(0, 20));
  await client.has(20);
  client.socket.write(frame(Buffer.from(CREATE.replace("gpt-5-mini", "o3-pro")), { mask: MASK }));
  await waitFor(() => at.fixture.seen.calls.length === 1);
  server.socket.write(Buffer.concat([delta.subarray(20), delta.subarray(0, 5)]));
  await waitFor(() => client.socket.readableEnded);
  const received = client.received().toString("latin1");
  expect(received).toContain("some text ");
  expect(received).toContain(" that was generated");
  expect(received).toContain("o3-pro");
  expect(received).not.toContain(REAL);
  await waitFor(() => at.fixture.seen.findings.some(({ finding }) => finding === "secret_echoed"));
});

test.each([
  ["a model that is denied", '{"type":"response.create","model":"o3-pro"}', "llm.models"],
  ["the model named twice", '{"type":"response.create","model":"gpt-5","model":"o3-pro"}', "protocol"],
  ["the model in two places", '{"type":"response.create","model":"gpt-5","response":{"model":"o3-pro"}}', "protocol"],
  ["the type named twice", '{"type":"ping","type":"response.create","model":"o3-pro"}', "protocol"],
  ["a key in capitals", '{"type":"response.create","model":"gpt-5","Model":"o3-pro"}', "protocol"],
  ["an escaped key", '{"type":"response.create","mod\\u0065l":"o3-pro"}', "llm.models"],
  ["no model", '{"type":"response.create"}', "llm.models"],
  ["no JSON", "response.create", "protocol"],
  ["two documents", '{"type":"x"}{"type":"response.create","model":"o3-pro"}', "protocol"],
])("V97: %s does not leave a WebSocket whose models are limited", async (_name, text, rule) => {
  await using at = await setting({ models: { allow: ["gpt-5*"] } });
  const { client, server } = await responses(at);
  client.socket.write(frame(Buffer.from(text), { mask: MASK }));
  await waitFor(() => client.socket.readableEnded);
  expect(server.received()).toHaveLength(0);
  expect(at.fixture.seen.decisions.at(-1)).toMatchObject({ decision: "deny", rule });
});

test("what cannot be followed does not pass while calls are limited, and passes unread while they are not", async () => {
  const garbage = [
    frame(Buffer.from(CREATE), { mask: MASK, isCompressed: true }),
    Buffer.from([0xf1, 0x80, 1, 2, 3, 4]),
    frame(Buffer.alloc(64, 0x20), { mask: MASK, opcode: 3 }),
  ];
  for (const bytes of garbage) {
    await using limited = await setting({ budgets: [testBudget("requests", 10)] });
    const one = await responses(limited);
    one.client.socket.write(bytes);
    await waitFor(() => one.client.socket.readableEnded);
    expect(one.server.received()).toHaveLength(0);
    await using free = await setting();
    const other = await responses(free);
    other.client.socket.write(bytes);
    await other.server.has(bytes.length);
    other.client.socket.destroy();
    await waitFor(() => free.fixture.seen.exchanges.length === 1);
    expect(free.fixture.seen.calls.at(-1)).toMatchObject({ usage_source: "none" });
  }
});

test("nothing passes behind a goodbye while calls are limited", async () => {
  await using at = await setting({ budgets: [testBudget("requests", 10)] });
  const { client, server } = await responses(at);
  const close = frame(Buffer.from([0x03, 0xe8]), { opcode: 8, mask: MASK });
  client.socket.write(Buffer.concat([close, frame(Buffer.from(CREATE), { mask: MASK })]));
  await server.has(close.length);
  client.socket.end();
  await waitFor(() => at.fixture.seen.exchanges.length === 1);
  expect(server.received().equals(close)).toBe(true);
});

test("V44: a client that leaves takes the upstream with it, and what was asked for counts", async () => {
  await using at = await setting({ budgets: [testBudget("tokens", 1000)] });
  const { client, server } = await responses(at);
  const create = frame(Buffer.from(CREATE), { mask: MASK });
  client.socket.write(create);
  await server.has(create.length);
  const delta = frame(Buffer.from(DELTA));
  server.socket.write(delta);
  await client.has(delta.length);
  const gone = once(server.socket, "close", { signal: AbortSignal.timeout(1_500) });
  client.socket.destroy();
  await gone;
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(at.fixture.seen.calls[0]).toMatchObject({ call_outcome: "aborted", usage_source: "estimated", model: "gpt-5-mini" });
  expect(at.fixture.seen.calls[0]?.ttft_ms).toBeGreaterThan(0);
});

test("V96: the end of a sandbox cuts its sockets at once, and their calls are recorded", async () => {
  await using at = await setting();
  const { client, server } = await responses(at);
  client.socket.write(frame(Buffer.from(CREATE), { mask: MASK }));
  const delta = frame(Buffer.from(DELTA));
  server.socket.write(delta);
  await client.has(delta.length);
  const gone = once(server.socket, "close", { signal: AbortSignal.timeout(1_500) });
  await at.fixture.attachment[Symbol.asyncDispose]();
  await gone;
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(at.fixture.seen.calls[0]).toMatchObject({ usage_source: "estimated" });
});

test("V35: what a server answers by itself is reserved with the sound before it, and its transcription counts", async () => {
  await using at = await setting({ budgets: [testBudget("requests", 2)] });
  const { client, server } = await rawSocket(at.fixture, at.upstream, { host: OPENAI, path: "/v1/realtime?model=gpt-realtime-2" });
  const say = (text: string): boolean => client.socket.write(frame(Buffer.from(text), { mask: MASK }));
  const append = '{"type":"input_audio_buffer.append","audio":"AAAA"}';
  say('{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"gpt-4o-mini-transcribe"}}}}}');
  for (let i = 0; i < 5; i += 1) say(append);
  await waitFor(() => server.received().length > 5 * append.length);
  const usage = { input_tokens: 10, output_tokens: 20, total_tokens: 30 };
  const reply = [
    '{"type":"response.created","response":{"id":"resp_1"}}',
    JSON.stringify({ type: "conversation.item.input_audio_transcription.completed", usage: { type: "tokens", ...usage } }),
    JSON.stringify({ type: "response.done", response: { id: "resp_1", status: "completed", usage } }),
  ];
  server.socket.write(Buffer.concat(reply.map((text) => frame(Buffer.from(text)))));
  await waitFor(() => at.fixture.seen.calls.length === 2);
  expect(at.fixture.seen.calls.map(({ operation, model, total_tokens }) => [operation, model, total_tokens])).toEqual([
    ["transcription", "gpt-4o-mini-transcribe", 30],
    ["realtime", "gpt-realtime-2", 30],
  ]);
  const before = server.received().length;
  say(append);
  await waitFor(() => client.socket.readableEnded);
  expect(server.received()).toHaveLength(before);
  expect(at.fixture.seen.calls.at(-1)).toMatchObject({ decision: "deny" });
});

test("V36: a session that is paid by the second cannot be opened under a budget of tokens or money", async () => {
  await using at = await setting({ budgets: [testBudget("usd", 10)] });
  const socket = await tlsInside(at.fixture, OPENAI);
  const client = new WebSocket(`wss://${OPENAI}/v1/live/sessions/s1`, { createConnection: () => socket });
  const [, response] = (await once(client, "unexpected-response")) as [unknown, { statusCode: number; headers: Record<string, string> }];
  expect([response.statusCode, response.headers["x-agentkernel-denied"]]).toEqual([403, "budget:of-usd"]);
  client.on("error", () => undefined);
  client.terminate();
});

test("V28: the `ws` client and server, with and without compression, are metered alike", async () => {
  for (const perMessageDeflate of [true, false]) {
    await using at = await setting({ budgets: [testBudget("tokens", 100_000)] });
    const server = new WebSocketServer({ server: at.upstream.server, perMessageDeflate: { threshold: 0 } });
    server.on("connection", (socket) =>
      socket.on("message", () => {
        socket.send(DELTA.repeat(1));
        socket.ping();
        socket.send(done("resp_9"));
      }),
    );
    const inside = await tlsInside(at.fixture, OPENAI);
    const client = new WebSocket(`wss://${OPENAI}/v1/responses`, { createConnection: () => inside, perMessageDeflate });
    await once(client, "open");
    expect(client.extensions).toBe(perMessageDeflate ? "permessage-deflate" : "");
    for (const model of ["gpt-5-mini", "gpt-5-nano"]) {
      client.send(CREATE.replace("gpt-5-mini", model));
      await waitFor(() => at.fixture.seen.calls.some((call) => call.model === model));
    }
    expect(at.fixture.seen.calls.map(({ total_tokens, usage_source }) => [total_tokens, usage_source])).toEqual([
      [12, "reported"],
      [12, "reported"],
    ]);
    client.close();
    await waitFor(() => at.fixture.seen.exchanges.length === 1);
    server.close();
  }
});
