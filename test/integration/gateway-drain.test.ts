import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { budgetGate, testBudget } from "../support/gateway/budget-gate.ts";
import { openOver, type Protocol, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { type Fixture, gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

/** V44, V45: clients that leave in the middle of an answer, with and without `[llm].drain_on_abort`. */

const HOST = "api.anthropic.com";
const event = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify({ type: name, ...data })}\n\n`;
const START = event("message_start", {
  message: { id: "msg_T5", model: "claude-opus-4-6", usage: { input_tokens: 9, cache_read_input_tokens: 15_000, output_tokens: 2 } },
});
const DELTA = event("content_block_delta", { index: 0, delta: { type: "text_delta", text: "x".repeat(2_048) } });
const SENT = Buffer.byteLength(START + DELTA);
const END =
  event("message_delta", {
    delta: { stop_reason: "end_turn" },
    usage: { input_tokens: 9, cache_read_input_tokens: 15_000, output_tokens: 418 },
  }) + event("message_stop", {});

type Setting = AsyncDisposable & { readonly fixture: Fixture; readonly answers: ServerResponse[] };

async function setting(drainOnAbort: boolean): Promise<Setting> {
  const stack = new AsyncDisposableStack();
  const store = stack.use(openStore(":memory:", { log: silentLog }));
  const answers: ServerResponse[] = [];
  const upstream = stack.use(
    await testUpstream((request, response) => {
      request.resume();
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(START + DELTA);
      answers.push(response);
    }),
  );
  const fixture = stack.use(
    await gatewayFixture({
      allow: [HOST],
      upstreams: [upstream.override(HOST)],
      providers: createProviderTable({ customDomains: [] }),
      drainOnAbort,
      gate: budgetGate(store, { budgets: [testBudget("tokens", 10_000_000)] }),
    }),
  );
  return { fixture, answers, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Asks, reads the first bytes, and leaves. */
async function leave(at: Setting, protocol: Protocol = "http/1.1"): Promise<ServerResponse> {
  const before = at.answers.length;
  const body = JSON.stringify({ model: "claude-opus-4-6", stream: true, max_tokens: 1000, messages: [] });
  const response = await openOver(protocol, at.fixture, `https://${HOST}/v1/messages?beta=true`, {
    body,
    headers: { "content-type": "application/json" },
  });
  let got = 0;
  while (got < SENT) got += ((await once(response.body, "data")) as [Buffer])[0].length;
  response.body.destroy();
  return waitFor(() => at.answers[before]);
}

test.each(PROTOCOLS)("V44: the provider is told at once, and what it did not say is estimated (%s)", async (protocol) => {
  await using at = await setting(false);
  const answer = await leave(at, protocol);
  await waitFor(() => answer.destroyed, { timeoutMs: 5_000, what: "the upstream to be cancelled" });
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(at.fixture.seen.calls[0]).toMatchObject({
    call_outcome: "aborted",
    usage_source: "partial",
    input_tokens: 15_009,
    output_tokens: 512,
    cache_read_tokens: 15_000,
    model: "claude-opus-4-6",
  });
  // the client's leaving is no fault of the provider
  expect(at.fixture.seen.exchanges[0]).toMatchObject({ end: "aborted", status: 200, protocol });
  expect(at.fixture.seen.exchanges[0]).not.toHaveProperty("error_code");
});

test.each(PROTOCOLS)("V45: an answer is read to its end, and its figures are the provider's (%s)", async (protocol) => {
  await using at = await setting(true);
  const answer = await leave(at, protocol);
  answer.write(DELTA.repeat(1_000));
  answer.end(END);
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(answer.destroyed && !answer.writableFinished).toBe(false);
  expect(at.fixture.seen.calls[0]).toMatchObject({
    call_outcome: "aborted",
    usage_source: "reported",
    input_tokens: 15_009,
    output_tokens: 418,
    cache_read_tokens: 15_000,
  });
  expect(at.fixture.seen.exchanges[0]).toMatchObject({ end: "aborted" });
  // the sandbox was sent what came before it was seen to be gone
  expect(at.fixture.seen.exchanges[0]?.bytes_in).toBeLessThan(Buffer.byteLength(DELTA.repeat(1_000)));
});

test("V45: one that breaks off while it is read on is estimated", async () => {
  await using at = await setting(true);
  const answer = await leave(at);
  answer.destroy();
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(at.fixture.seen.calls[0]).toMatchObject({ call_outcome: "aborted", usage_source: "partial", output_tokens: 512 });
});

test("V45: eight are read on at once, the ninth is cancelled", async () => {
  await using at = await setting(true);
  const answers: ServerResponse[] = [];
  for (let i = 0; i < 9; i += 1) answers.push(await leave(at));
  await waitFor(() => at.fixture.seen.calls.length === 1);
  expect(answers.filter(({ destroyed }) => destroyed)).toHaveLength(1);
  for (const answer of answers) answer.end(END);
  await waitFor(() => at.fixture.seen.calls.length === 9);
  expect(at.fixture.seen.calls.filter(({ usage_source }) => usage_source === "reported")).toHaveLength(8);
});

test.each(PROTOCOLS)("V96: a new policy and the end of the sandbox end it at once (%s)", async (protocol) => {
  await using at = await setting(true);
  const first = await leave(at, protocol);
  at.fixture.attachment.update({ ...at.fixture.egress, policy: testPolicy([], {}, 2) });
  await waitFor(() => first.destroyed, { timeoutMs: 5_000 });
  at.fixture.attachment.update({ ...at.fixture.egress, policy: testPolicy([HOST], {}, 3) });
  const second = await leave(at, protocol);
  await at.fixture.attachment[Symbol.asyncDispose]();
  await waitFor(() => second.destroyed, { timeoutMs: 5_000 });
  await waitFor(() => at.fixture.seen.calls.length === 2);
});
