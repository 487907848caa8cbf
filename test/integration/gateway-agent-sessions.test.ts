import { expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { meterKey } from "../../src/usage/budget.ts";
import { budgetGate, type GateSettings, testBudget } from "../support/gateway/budget-gate.ts";
import { fetchOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { fetchInside, openInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

/** Agents that Anthropic runs: what their models used comes with the events of a session, in a stream and in every page of its history. */

const HOST = "api.anthropic.com";
const SESSION = `https://${HOST}/v1/sessions/sesn_1`;
const used = (input: number, output: number) => ({
  input_tokens: input,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 1_000,
  output_tokens: output,
});
const EVENTS = [
  { type: "session.status_running", id: "sevt_0" },
  { type: "span.model_request_start", id: "sevt_1" },
  { type: "span.model_request_end", id: "sevt_2", is_error: false, model_usage: used(10, 20) },
  { type: "agent.message", id: "sevt_3", content: [{ type: "text", text: "hi", id: "x", usage: used(9_999, 9_999) }] },
  { id: "sevt_4", model_usage: used(30, 40), is_error: true, type: "span.model_request_end" },
  { type: "span.outcome_evaluation_end", id: "sevt_5", usage: used(5, 6) },
  { type: "session.usage", id: "sevt_6", usage: { input_tokens: 45, output_tokens: 66, cache_read_input_tokens: 3_000 } },
  { type: "session.status_idle", id: "sevt_7" },
];
const asStream = (events: readonly unknown[]): string =>
  events.map((event) => `event: ${(event as { type: string }).type}\ndata: ${JSON.stringify(event)}\n\n`).join("");

async function setting(gate: GateSettings) {
  const stack = new AsyncDisposableStack();
  const store = stack.use(openStore(":memory:", { log: silentLog }));
  const gone = Promise.withResolvers<void>();
  stack.defer(() => gone.resolve());
  const upstream = stack.use(
    await testUpstream((request, response) => {
      request.resume().on("end", () => {
        if (request.url?.startsWith("/v1/sessions/sesn_open/") === true) {
          response.setHeader("content-type", "text/event-stream").write(asStream(EVENTS.slice(0, 4)));
          return;
        }
        const isStream = request.url?.includes("stream") === true;
        response.setHeader("content-type", isStream ? "text/event-stream" : "application/json");
        response.end(isStream ? asStream(EVENTS) : JSON.stringify({ data: request.method === "POST" ? [] : EVENTS, next_page: null }));
      });
    }),
  );
  const fixture = stack.use(
    await gatewayFixture({
      allow: [HOST],
      providers: createProviderTable({ customDomains: [] }),
      upstreams: [upstream.override(HOST)],
      gate: budgetGate(store, gate),
    }),
  );
  return { fixture, store, upstream, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test.each(PROTOCOLS)("each model request of a session is a call, once, however often it is told (%s)", async (protocol) => {
  const budget = testBudget("tokens", 100_000, { onExceed: "warn" });
  await using at = await setting({ budgets: [budget] });
  for (const path of ["events/stream?beta=true", "events?limit=100", "events/stream", "threads/sthr_1/stream"])
    expect((await fetchOver(protocol, at.fixture, `${SESSION}/${path}`)).status).toBe(200);
  await waitFor(() => at.fixture.seen.calls.length === 16);
  const { calls } = at.fixture.seen;
  expect(new Set(calls.map(({ operation }) => operation))).toEqual(new Set(["fetch_response"]));
  const counted = calls.filter((call) => call.usage_source !== "none");
  expect(
    counted.map((call) => [call.response_id, call.input_tokens, call.cache_read_tokens, call.output_tokens, call.call_outcome]),
  ).toEqual([
    ["sevt_2", 1_010, 1_000, 20, "ok"],
    ["sevt_4", 1_030, 1_000, 40, "server_error"],
    ["sevt_5", 1_005, 1_000, 6, "ok"],
  ]);
  // nothing is missing of the streams themselves
  expect(calls.filter((call) => call.usage_missing !== undefined)).toEqual([]);
  const { used: taken, reserved } = at.store.budgets.taken(meterKey(budget), 0);
  expect([taken, reserved]).toEqual([3_111n, 0n]);
});

test("what a session uses is recorded while its stream is open", async () => {
  await using at = await setting({});
  const stream = await openInside(at.fixture, `https://${HOST}/v1/sessions/sesn_open/events/stream`);
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(at.fixture.seen.calls).toMatchObject([{ response_id: "sevt_2", output_tokens: 20, model: "unknown", status: 200 }]);
  stream.destroy();
  await waitFor(() => at.fixture.seen.calls.length === 2);
});

test("what begins a session's work is refused where its models or its use would have to be known; what it did can be read", async () => {
  for (const gate of [
    { models: { allow: ["claude-*"] } },
    { models: { deny: ["claude-opus*"] } },
    { budgets: [testBudget("tokens", 1_000)] },
    { budgets: [testBudget("usd", 1)] },
  ]) {
    await using at = await setting(gate);
    const post = async (path: string): Promise<number> =>
      (await fetchInside(at.fixture, `https://${HOST}${path}`, { body: "{}", headers: { "content-type": "application/json" } })).status;
    for (const path of ["/v1/sessions", "/v1/sessions/sesn_1/events", "/v1/deployments/d_1/run", "/v1/dreams"])
      expect([path, await post(path)]).toEqual([path, 403]);
    expect((await fetchInside(at.fixture, `${SESSION}/events`)).status).toBe(200);
    // what they are made of is no call
    for (const path of ["/v1/agents", "/v1/environments", "/v1/sessions/sesn_1", "/v1/sessions/sesn_1/archive", "/v1/skills"])
      expect([path, await post(path)]).toEqual([path, 200]);
  }
});
