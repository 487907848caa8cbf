import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { GoogleGenAI, type LiveServerMessage } from "@google/genai";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { ResponsesWS } from "openai/resources/responses/ws";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { budgetGate, testBudget, type GateFindings } from "../support/gateway/budget-gate.ts";
import { tlsInside } from "../support/gateway/client.ts";
import { type Fixture, gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

/** V27, V35, V59: the providers' own WebSocket clients through the gateway, and sockets that live long. */

const OPENAI = "api.openai.com";
const GOOGLE = "generativelanguage.googleapis.com";

type Setting = AsyncDisposable & { readonly fixture: Fixture; readonly server: WebSocketServer };

async function setting(host: string, requests: number, options: { readonly tls: boolean } = { tls: true }): Promise<Setting> {
  const stack = new AsyncDisposableStack();
  const findings: GateFindings = [];
  const store = stack.use(openStore(":memory:", { log: silentLog }));
  const upstream = stack.use(await testUpstream((_request, response) => response.writeHead(426).end(), options));
  const server = stack.adopt(new WebSocketServer({ server: upstream.server }), (open) => open.close());
  const fixture = stack.use(
    await gatewayFixture({
      allow: [host],
      providers: createProviderTable({ customDomains: [] }),
      upstreams: [upstream.override(host)],
      gate: budgetGate(store, { budgets: [testBudget("requests", requests)] }, findings),
    }),
  );
  return { fixture, server, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const usage = { input_tokens: 20_480, input_tokens_details: { cached_tokens: 18_432 }, output_tokens: 777, total_tokens: 21_257 };
const completed = (id: string): string =>
  JSON.stringify({ type: "response.completed", response: { id, status: "completed", model: "gpt-5.6-terra", usage } });

test("V27: the OpenAI SDK's Responses client is metered call by call, and told of a budget in its own words", async () => {
  await using at = await setting(OPENAI, 2);
  let made = 0;
  at.server.on("connection", (socket) =>
    socket.on("message", () => {
      made += 1;
      const response = { id: `resp_${made}`, status: "in_progress", model: "gpt-5.6-terra", usage: null };
      socket.send(JSON.stringify({ type: "response.created", sequence_number: 0, response }));
      socket.send(JSON.stringify({ type: "response.output_text.delta", sequence_number: 1, item_id: "m", delta: "Hé" }));
      socket.send(completed(`resp_${made}`));
    }),
  );
  const inside = await tlsInside(at.fixture, OPENAI);
  const sdk = new OpenAI({ apiKey: "dummy", baseURL: `https://${OPENAI}/v1` });
  const client = new ResponsesWS(sdk, { createConnection: () => inside });
  const said: string[] = [];
  const usages: unknown[] = [];
  const errors: string[] = [];
  client.on("response.output_text.delta", (event) => said.push(event.delta));
  client.on("response.completed", (event) => usages.push(event.response.usage));
  client.on("error", (error) => errors.push(error.message));
  for (const model of ["gpt-5.6-terra", "gpt-5-mini"]) {
    const before = usages.length;
    client.send({ type: "response.create", model, input: "ping" });
    await waitFor(() => usages.length === before + 1);
  }
  expect(said).toEqual(["Hé", "Hé"]);
  expect(usages).toEqual([usage, usage]);
  client.send({ type: "response.create", model: "gpt-5-mini", input: "once more" });
  await waitFor(() => errors.some((text) => text.includes("of-requests")));
  await waitFor(() => at.fixture.seen.calls.length === 3);
  expect(made).toBe(2);
  client.close();
  expect(
    at.fixture.seen.calls.map(({ model, response_id, input_tokens, cache_read_tokens, output_tokens, decision }) => [
      ...[model, response_id, input_tokens, cache_read_tokens, output_tokens, decision],
    ]),
  ).toEqual([
    ["gpt-5.6-terra", "resp_1", 20_480, 18_432, 777, "allow"],
    ["gpt-5-mini", "resp_2", 20_480, 18_432, 777, "allow"],
    ["gpt-5-mini", undefined, null, null, null, "deny"],
  ]);
});

test("V35: the OpenAI SDK's realtime client is metered, and told of a budget in its own words", async () => {
  await using at = await setting(OPENAI, 1);
  const usage = { input_tokens: 132, output_tokens: 121, total_tokens: 253 };
  at.server.on("connection", (socket) =>
    socket.on("message", () => {
      socket.send('{"type":"response.created","response":{"id":"resp_R1"}}');
      socket.send(JSON.stringify({ type: "response.done", response: { id: "resp_R1", status: "completed", usage } }));
    }),
  );
  const inside = await tlsInside(at.fixture, OPENAI);
  const client = new OpenAIRealtimeWS(
    { model: "gpt-realtime-2", options: { createConnection: () => inside } },
    new OpenAI({ apiKey: "dummy", baseURL: `https://${OPENAI}/v1` }),
  );
  const errors: string[] = [];
  const done: unknown[] = [];
  client.on("error", (error) => errors.push(`${error.error?.code ?? ""} ${error.message}`));
  client.on("response.done", (event) => done.push(event.response.usage));
  await once(client.socket, "open");
  client.send({ type: "response.create" });
  await waitFor(() => done.length === 1);
  expect(done).toEqual([usage]);
  const closed = once(client.socket, "close");
  client.send({ type: "response.create" });
  expect((await closed)[0]).toBe(1008);
  expect(errors.some((text) => text.includes("policy_denied") && text.includes("of-requests"))).toBe(true);
  expect(at.fixture.seen.calls.map(({ model, total_tokens, decision }) => [model, total_tokens, decision])).toEqual([
    ["gpt-realtime-2", 253, "allow"],
    ["gpt-realtime-2", null, "deny"],
  ]);
});

test("V59: Google's Live client is metered turn by turn, and its socket ends at a spent budget", async () => {
  // its client takes no certificate of ours within this process: plain HTTP, judged and passed like the rest
  await using at = await setting(GOOGLE, 2, { tls: false });
  const usageMetadata = { promptTokenCount: 100, responseTokenCount: 40, thoughtsTokenCount: 10, totalTokenCount: 150 };
  at.server.on("connection", (socket) =>
    socket.on("message", (data: Buffer) => {
      const isSetup = data.toString().includes('"setup"');
      const answers = isSetup
        ? [{ setupComplete: {} }]
        : [
            { serverContent: { modelTurn: { role: "model", parts: [{ text: "Hé" }] } } },
            { serverContent: { turnComplete: true }, usageMetadata },
          ];
      // as Google does: JSON in binary frames
      for (const answer of answers) socket.send(Buffer.from(JSON.stringify(answer)), { binary: true });
    }),
  );
  const port = await at.fixture.reach(GOOGLE, 80);
  const sdk = new GoogleGenAI({ apiKey: "dummy", httpOptions: { baseUrl: `http://127.0.0.1:${port}`, headers: { Host: GOOGLE } } });
  const messages: LiveServerMessage[] = [];
  const { promise: closed, resolve } = Promise.withResolvers<number>();
  const session = await sdk.live.connect({
    model: "gemini-live-3",
    callbacks: { onmessage: (message) => messages.push(message), onclose: (event) => resolve(event.code) },
  });
  const turns = (): number => messages.filter((message) => message.serverContent?.turnComplete === true).length;
  for (const count of [1, 2]) {
    session.sendClientContent({ turns: [{ role: "user", parts: [{ text: "ping" }] }], turnComplete: true });
    await waitFor(() => turns() === count);
  }
  expect(messages.at(-1)?.usageMetadata).toMatchObject({ totalTokenCount: 150 });
  session.sendClientContent({ turns: [{ role: "user", parts: [{ text: "once more" }] }], turnComplete: true });
  expect(await closed).toBe(1008);
  await waitFor(() => at.fixture.seen.calls.length === 3);
  expect(
    at.fixture.seen.calls.map(({ provider, operation, model, input_tokens, output_tokens, decision }) => [
      ...[provider, operation, model, input_tokens, output_tokens, decision],
    ]),
  ).toEqual([
    ["google", "live", "gemini-live-3", 100, 50, "allow"],
    ["google", "live", "gemini-live-3", 100, 50, "allow"],
    ["google", "live", "gemini-live-3", null, null, "deny"],
  ]);
});

/** Bytes that are held, once all that nobody needs is gone. */
function heldBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test("a WebSocket that makes thousands of calls holds no more after them than after the first hundred", { timeout: 60_000 }, async () => {
  await using at = await setting(OPENAI, 1_000_000);
  const delta = JSON.stringify({ type: "response.output_text.delta", delta: "x".repeat(16 * 1024) });
  let made = 0;
  at.server.on("connection", (socket) =>
    socket.on("message", (data: Buffer) => {
      if (!data.toString().includes("response.create")) return;
      made += 1;
      socket.send(delta);
      socket.send(completed(`resp_${made}`));
    }),
  );
  const inside = await tlsInside(at.fixture, OPENAI);
  const client = new WebSocket(`wss://${OPENAI}/v1/responses`, { createConnection: () => inside, perMessageDeflate: false });
  await once(client, "open");
  let answered = 0;
  let enough = 0;
  const { seen } = at.fixture;
  const create = JSON.stringify({ type: "response.create", model: "gpt-5-mini", input: "y".repeat(8 * 1024) });
  client.on("message", (data: Buffer) => {
    if (!data.toString().includes("response.completed")) return;
    answered += 1;
    if (answered < enough) client.send(create);
  });
  const callUntil = async (count: number): Promise<number> => {
    enough = count;
    client.send(create);
    await waitFor(() => answered === count, { timeoutMs: 40_000, what: `${count} answers` });
    await waitFor(() => seen.calls.length > 0 && seen.calls.at(-1)?.response_id === `resp_${count}`);
    // what the fixture keeps is the test's
    for (const kept of Object.values(seen)) if (Array.isArray(kept)) kept.length = 0;
    return heldBytes();
  };
  const early = await callUntil(100);
  const late = await callUntil(3_100);
  // 48 MiB came and 24 MiB went since; anything kept of each call, even its record of a kilobyte, would be 3 MB
  expect(late - early).toBeLessThan(2 * 1024 * 1024);
  client.terminate();
});
