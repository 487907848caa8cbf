import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { type Budget, meterKey } from "../../src/usage/budget.ts";
import { budgetGate, type GateFindings, testBudget } from "../support/gateway/budget-gate.ts";
import { fetchOver, type Opened, openOver, type Protocol, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.anthropic.com";
const CALL = `https://${HOST}/v1/messages`;
const START =
  'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"claude-opus-4-6","usage":{"input_tokens":9,"cache_read_input_tokens":15000,"output_tokens":2}}}\n\n';
const DELTA = `event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"${"x".repeat(3_000)}"}}\n\n`;

/** Settles when the stream is over, whole or not. */
const closing = ({ body: stream }: Opened): Promise<unknown> => new Promise((resolve) => stream.once("close", resolve));

/** A provider that streams without an end, and a gate whose budgets can be changed meanwhile. */
async function setting(budgets: Budget[], protocol: Protocol = "http/1.1") {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(openStore(":memory:", { log: silentLog }));
  const findings: GateFindings = [];
  let closed = 0;
  const upstream = stack.use(
    await testUpstream((request, response: ServerResponse) => {
      request.resume().on("end", () => {
        response.setHeader("content-type", "text/event-stream");
        response.write(START + DELTA);
        response.on("close", () => (closed += 1));
      });
    }),
  );
  const gate = budgetGate(store, { budgets }, findings);
  const fixture = stack.use(
    await gatewayFixture({
      allow: [HOST],
      providers: createProviderTable({ customDomains: [] }),
      upstreams: [upstream.override(HOST)],
      gate,
    }),
  );
  const streaming = async (model: string): Promise<Opened> => {
    const response = await openOver(protocol, fixture, CALL, {
      body: JSON.stringify({ model, max_tokens: 5_000, stream: true, messages: [] }),
      headers: { "content-type": "application/json" },
    });
    response.body.on("error", () => undefined);
    await once(response.body, "data");
    return response;
  };
  const used = (budget: Budget): number => Number(store.budgets.taken(meterKey(budget), 0).used);
  const owned = stack.move();
  return { gate, fixture, findings, streaming, used, closed: () => closed, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test.each(PROTOCOLS)(
  "V96: closing a budget cuts the streams that it counts, upstream too, and what they used is counted (%s)",
  async (protocol) => {
    const lasting = testBudget("tokens", 1_000_000);
    const budgets = [lasting];
    await using at = await setting(budgets, protocol);
    const cut = await at.streaming("claude-opus-4-6");
    const other = await at.streaming("claude-haiku-4-5");
    at.gate.cutClosed();
    expect(at.closed()).toBe(0);

    budgets.push(testBudget("usd", 0, { id: "stop", scope: "model:claude-opus-*" }));
    const ended = closing(cut);
    at.gate.cutClosed();
    await ended;
    // no ending of its own: a client must not take the half for the whole
    expect(cut.body.readableEnded).toBe(false);
    await waitFor(() => at.closed() === 1, { timeoutMs: 5_000, what: "the upstream to be closed" });
    await waitFor(() => at.fixture.seen.calls.length === 1);
    expect(at.fixture.seen.calls[0]).toMatchObject({
      call_outcome: "aborted",
      usage_source: "partial",
      input_tokens: 15_009,
      response_model: "claude-opus-4-6",
    });
    expect(at.fixture.seen.exchanges[0]).toMatchObject({ end: "aborted", error_code: "POLICY_DENIED" });
    await waitFor(() => at.used(lasting) > 15_500);
    expect(at.findings).toMatchObject([{ finding: "budget_exceeded", rule: "budget:stop", sandbox: "box", severity: "medium" }]);

    // the other stream goes on, and new calls of the closed model are refused
    expect(other.body.destroyed).toBe(false);
    const refused = await fetchOver(protocol, at.fixture, CALL, {
      body: JSON.stringify({ model: "claude-opus-4-6", max_tokens: 9, messages: [] }),
      headers: { "content-type": "application/json" },
    });
    expect(refused.status).toBe(403);
    expect(refused.headers["x-should-retry"]).toBe("false");
    other.body.destroy();
  },
);

test("a call that began before there was any budget is cut as well; one of another sandbox is not", async () => {
  const budgets: Budget[] = [];
  await using at = await setting(budgets);
  const stream = await at.streaming("claude-opus-4-6");
  budgets.push(testBudget("requests", 0, { scope: "sandbox:another" }), testBudget("tokens", 0, { id: "w", onExceed: "warn" }));
  at.gate.cutClosed();
  expect(at.findings).toEqual([]);
  budgets.push(testBudget("requests", 0, { id: "stop", scope: "sandbox:box" }));
  const ended = closing(stream);
  at.gate.cutClosed();
  await ended;
  expect(at.findings).toMatchObject([{ rule: "budget:stop" }]);
  await waitFor(() => at.closed() === 1);
});
