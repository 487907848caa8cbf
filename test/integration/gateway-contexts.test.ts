import { join } from "node:path";
import { expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { budgetGate, testBudget } from "../support/gateway/budget-gate.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { rawSocket } from "../support/gateway/raw-socket.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { MASK } from "../support/socket-vectors.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";
import { frame } from "../support/websocket-frames.ts";

/** A call that goes on from a context that the provider keeps is reserved with that context, not by the few bytes it says. */

const OPENAI = "api.openai.com";
const usage = { input_tokens: 5_000, output_tokens: 900, output_tokens_details: { reasoning_tokens: 400 }, total_tokens: 5_900 };

async function setting(limit: number, file = ":memory:") {
  const stack = new AsyncDisposableStack();
  const store = stack.use(openStore(file, { log: silentLog }));
  const upstream = stack.use(
    await testUpstream((request, response) => {
      request.resume().on("end", () => {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ id: "resp_1", status: "completed", model: "gpt-5-mini", usage }));
      });
    }),
  );
  const fixture = stack.use(
    await gatewayFixture({
      allow: [OPENAI],
      providers: createProviderTable({ customDomains: [] }),
      upstreams: [upstream.override(OPENAI)],
      gate: budgetGate(store, { budgets: [testBudget("tokens", limit)] }),
    }),
  );
  const ask = async (more: Record<string, unknown>): Promise<number> => {
    const body = JSON.stringify({ model: "gpt-5-mini", max_output_tokens: 1000, input: "go on", ...more });
    return (await fetchInside(fixture, `https://${OPENAI}/v1/responses`, { body, headers: { "content-type": "application/json" } })).status;
  };
  return { ask, fixture, upstream, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("a previous response", async () => {
  // the first takes 5,900 of 12,000; the next would need 5,500 for its context and 1,000 for its answer
  await using at = await setting(12_000);
  expect(await at.ask({})).toBe(200);
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(await at.ask({ previous_response_id: "resp_1" })).toBe(403);
  expect(at.fixture.seen.exchanges.at(-1)?.reason).toMatch(/this call may need 6,?\d{3}/);
  // one of which nothing is known is reserved by what it says
  expect(await at.ask({ previous_response_id: "resp_of_somebody" })).toBe(200);
  expect(at.upstream.requests).toHaveLength(2);
});

test.each(["conv_1", { id: "conv_1" }])("a conversation that the provider keeps: %j", async (conversation) => {
  await using at = await setting(12_000);
  expect(await at.ask({ conversation })).toBe(200);
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(await at.ask({ conversation: "conv_1" })).toBe(403);
  expect(await at.ask({ conversation: "conv_2" })).toBe(200);
});

test("a context is known beside the process that saw it, and after a restart", async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "state.db");
  await using beside = await setting(12_000, file);
  {
    await using first = await setting(12_000, file);
    expect(await first.ask({ conversation: "conv_1" })).toBe(200);
    await waitFor(() => first.fixture.seen.calls.length === 1);
    expect(await beside.ask({ previous_response_id: "resp_1" })).toBe(403);
  }
  await using next = await setting(12_000, file);
  expect(await next.ask({ previous_response_id: "resp_1" })).toBe(403);
  expect(await next.ask({ conversation: "conv_1" })).toBe(403);
  expect(next.fixture.seen.exchanges.at(-1)?.reason).toMatch(/this call may need 6,?\d{3}/);
  expect(await next.ask({ previous_response_id: "resp_of_somebody" })).toBe(200);
});

test("a conversation of Mistral's, whose id stands in the path", async () => {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(openStore(":memory:", { log: silentLog }));
  const upstream = stack.use(
    await testUpstream((request, response) => {
      request.resume().on("end", () => {
        response.setHeader("content-type", "application/json");
        const mistral = { prompt_tokens: 5_000, completion_tokens: 500, total_tokens: 5_500 };
        response.end(JSON.stringify({ conversation_id: "conv_1", outputs: [], usage: mistral }));
      });
    }),
  );
  const host = "api.mistral.ai";
  const fixture = stack.use(
    await gatewayFixture({
      allow: [host],
      providers: createProviderTable({ customDomains: [] }),
      upstreams: [upstream.override(host)],
      gate: budgetGate(store, { budgets: [testBudget("tokens", 12_000)] }),
    }),
  );
  const ask = async (path: string): Promise<number> => {
    const body = JSON.stringify({ model: "mistral-large-2512", inputs: "go on", completion_args: { max_tokens: 1_000 } });
    return (await fetchInside(fixture, `https://${host}${path}`, { body, headers: { "content-type": "application/json" } })).status;
  };
  expect(await ask("/v1/conversations")).toBe(200);
  await waitFor(() => fixture.seen.calls.length === 1);
  // 5,500 of 12,000 are used; the context has 5,500 and the answer may have 1,000
  expect(await ask("/v1/conversations/conv_1")).toBe(403);
  expect(await ask("/v1/conversations/conv_1/restart")).toBe(403);
  expect(await ask("/v1/conversations/conv_of_somebody")).toBe(200);
  await waitFor(() => fixture.seen.calls.length === 4);
  expect(fixture.seen.calls.filter(({ usage_source }) => usage_source === "reported")).toHaveLength(2);
});

test("a context that fits is no obstacle", async () => {
  await using at = await setting(13_000);
  expect(await at.ask({})).toBe(200);
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(await at.ask({ previous_response_id: "resp_1" })).toBe(200);
});

test.each([
  [
    "Responses over a WebSocket",
    "/v1/responses",
    '{"type":"response.create","model":"gpt-5-mini","max_output_tokens":1000,"previous_response_id":"resp_1"}',
    { type: "response.completed", response: { id: "resp_1", status: "completed", model: "gpt-5-mini", usage } },
  ],
  [
    "a realtime session",
    "/v1/realtime?model=gpt-realtime-2",
    '{"type":"response.create","response":{"max_output_tokens":1000}}',
    { type: "response.done", response: { id: "resp_1", status: "completed", usage } },
  ],
])("%s", async (_name, path, create, done) => {
  await using at = await setting(12_000);
  const { client, server } = await rawSocket(at.fixture, at.upstream, { host: OPENAI, path });
  const asked = frame(Buffer.from(create), { mask: MASK });
  client.socket.write(asked);
  await server.has(asked.length);
  server.socket.write(frame(Buffer.from(JSON.stringify(done))));
  await waitFor(() => at.fixture.seen.calls.length === 1);
  client.socket.write(asked);
  await waitFor(() => client.socket.readableEnded);
  expect(server.received().equals(asked)).toBe(true);
  expect(at.fixture.seen.calls.map(({ decision, total_tokens }) => [decision, total_tokens])).toEqual([
    ["allow", 5_900],
    ["deny", null],
  ]);
});
