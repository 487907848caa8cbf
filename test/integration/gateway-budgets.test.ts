import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { afterEach, expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore, type Store } from "../../src/store/open-store.ts";
import { type Budget, meterKey } from "../../src/usage/budget.ts";
import { budgetGate, type GateFindings, type GateSettings, testBudget } from "../support/gateway/budget-gate.ts";
import { fetchOver, type Protocol, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { fetchInside, openInside } from "../support/gateway/client.ts";
import { type Fixture, gatewayFixture } from "../support/gateway/fixture.ts";
import { type TestUpstream, testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const OPENAI = "api.openai.com";
const ANTHROPIC = "api.anthropic.com";
const GOOGLE = "generativelanguage.googleapis.com";
const CHAT = `https://${OPENAI}/v1/chat/completions`;

type Setting = {
  readonly fixture: Fixture;
  readonly upstream: TestUpstream;
  readonly store: Store;
  readonly findings: GateFindings;
  reached: () => number;
  taken: (budget: Budget) => readonly [number, number];
};

let open: AsyncDisposableStack | undefined;
afterEach(async () => {
  await open?.disposeAsync();
  open = undefined;
});

async function setting(gate: GateSettings, answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Setting> {
  open = new AsyncDisposableStack();
  const store = open.use(openStore(":memory:", { log: silentLog }));
  const findings: GateFindings = [];
  let reached = 0;
  const upstream = open.use(
    await testUpstream((request, response) => {
      request.resume();
      request.on("end", () => {
        reached += 1;
        answer(request, response);
      });
    }),
  );
  const fixture = open.use(
    await gatewayFixture({
      allow: [OPENAI, ANTHROPIC, GOOGLE],
      providers: createProviderTable({ customDomains: [] }),
      upstreams: [OPENAI, ANTHROPIC, GOOGLE].map((host) => upstream.override(host)),
      limits: { connectionsPerListener: 256, inspectBytes: 64 * 1024 },
      gate: budgetGate(store, gate, findings),
    }),
  );
  const taken = (budget: Budget): readonly [number, number] => {
    const { used, reserved } = store.budgets.taken(meterKey(budget), 0);
    return [Number(used), Number(reserved)];
  };
  return { fixture, upstream, store, findings, reached: () => reached, taken };
}

const usage = (input: number, output: number) => ({ prompt_tokens: input, completion_tokens: output, total_tokens: input + output });

function json(response: ServerResponse, value: unknown): void {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(value));
}

function ask(
  fixture: Fixture,
  body: Record<string, unknown>,
  url = CHAT,
  headers: Record<string, string> = {},
  protocol: Protocol = "http/1.1",
): ReturnType<typeof fetchOver> {
  const own = { "content-type": "application/json", ...headers };
  return fetchOver(protocol, fixture, url, { body: JSON.stringify(body), headers: own });
}

const chat = (more: Record<string, unknown> = {}) => ({ model: "gpt-5-mini", max_tokens: 200, messages: [], ...more });

test.each(PROTOCOLS)("a response that is fetched again counts once of a budget (%s)", async (protocol) => {
  const budget = testBudget("tokens", 100_000);
  const said = { input_tokens: 20_000, output_tokens: 700, total_tokens: 20_700 };
  const { fixture, taken } = await setting({ budgets: [budget] }, (_request, response) =>
    json(response, { id: "resp_1", status: "completed", model: "gpt-5.6-terra", usage: said }),
  );
  for (let i = 0; i < 3; i += 1) await fetchOver(protocol, fixture, `https://${OPENAI}/v1/responses/resp_1`);
  await waitFor(() => fixture.seen.calls.length === 3);
  expect(taken(budget)).toEqual([20_700, 0]);
});

test.each(PROTOCOLS)(
  "V95: 1,000 tokens hold four of twenty parallel calls of 200 each, and settle to what was used (%s)",
  async (protocol) => {
    const budget = testBudget("tokens", 1_000);
    const waiting: ServerResponse[] = [];
    const { fixture, taken } = await setting({ budgets: [budget] }, (_request, response) => waiting.push(response));
    const answers = Array.from({ length: 20 }, () => ask(fixture, chat(), CHAT, {}, protocol));
    const denied = await waitFor(() => fixture.seen.calls.length === 16 && waiting.length === 4);
    expect(denied).toBe(true);
    expect(taken(budget)[0] + taken(budget)[1]).toBeLessThanOrEqual(1_000);
    for (const response of waiting) json(response, { model: "gpt-5-mini", choices: [], usage: usage(10, 20) });
    const settled = await Promise.all(answers);
    const refused = settled.filter(({ status }) => status === 403);
    expect([settled.filter(({ status }) => status === 200).length, refused.length]).toEqual([4, 16]);
    for (const { headers, text } of refused) {
      expect([headers["x-should-retry"], headers["x-agentkernel-denied"]]).toEqual(["false", "budget:of-tokens"]);
      expect(JSON.parse(text)).toMatchObject({
        error: { type: "policy_denied", message: expect.stringContaining("the budget of-tokens") },
      });
    }
    await waitFor(() => fixture.seen.calls.length === 20);
    expect(taken(budget)).toEqual([120, 0]);
  },
);

const EACH = 200 + Math.ceil(JSON.stringify(chat()).length / 3);

test.each([
  ["requests", 10, 10],
  ["concurrent", 10, 0],
  ["tokens", 10 * EACH, 10 * 2],
  ["usd", (10 * EACH) / 100_000, 10 * 2 * 10_000],
] as const)("100 parallel calls against a budget in %s that fits 10: 10 pass", async (unit, limit, left) => {
  const budget = testBudget(unit, limit);
  const waiting: ServerResponse[] = [];
  const { fixture, reached, taken } = await setting({ budgets: [budget] }, (_request, response) => waiting.push(response));
  const answers = Array.from({ length: 100 }, () => ask(fixture, chat()));
  await waitFor(() => fixture.seen.calls.length + waiting.length === 100);
  expect([waiting.length, reached()]).toEqual([10, 10]);
  for (const response of waiting) json(response, { model: "gpt-5-mini", choices: [], usage: usage(1, 1) });
  await Promise.all(answers);
  await waitFor(() => taken(budget)[1] === 0);
  expect(taken(budget)[0]).toBe(left);
});

test.each([
  ["OpenAI", CHAT, { error: { type: "policy_denied", message: expect.stringContaining("the budget of-requests") } }],
  ["Anthropic", `https://${ANTHROPIC}/v1/messages`, { type: "error", error: { type: "permission_error" } }],
  ["Google", `https://${GOOGLE}/v1beta/models/gemini-2.5-flash:generateContent`, { error: { code: 403, status: "PERMISSION_DENIED" } }],
])("a refusal has the shape of %s, and its clients do not try again", async (_name, url, shape) => {
  const { fixture, reached } = await setting({ budgets: [testBudget("requests", 0)] }, (_request, response) => response.end("{}"));
  const answers = [await ask(fixture, chat(), url), await ask(fixture, chat(), url, {}, "h2")];
  for (const { status, headers, text } of answers) {
    expect([status, headers["x-should-retry"], headers["x-agentkernel-denied"]]).toEqual([403, "false", "budget:of-requests"]);
    expect(JSON.parse(text)).toMatchObject(shape);
  }
  await waitFor(() => fixture.seen.exchanges.length === 2);
  const denied = { call_outcome: "denied", decision: "deny", outcome: "deny", status: 403, input_tokens: null, cost_usd: null };
  expect(fixture.seen.calls).toMatchObject([denied, denied]);
  expect(fixture.seen.exchanges).toMatchObject(
    ["http/1.1", "h2"].map((protocol) => ({ decision: "deny", rule: "budget:of-requests", protocol })),
  );
  expect(reached()).toBe(0);
});

test("a stream without usage is estimated, a call that was refused upstream is free, one that was aborted is not", async () => {
  const budget = testBudget("tokens", 100_000);
  const { fixture, taken } = await setting({ budgets: [budget] }, (request, response) => {
    if (request.headers["x-how"] === "fail") {
      response.statusCode = 400;
      json(response, { error: { message: "no" } });
    } else if (request.headers["x-how"] === "stream") {
      response.setHeader("content-type", "text/event-stream");
      response.end(`data: {"choices":[{"delta":{"content":"${"x".repeat(300)}"}}]}\n\ndata: [DONE]\n\n`);
    }
  });
  await ask(fixture, chat(), CHAT, { "x-how": "fail" });
  await waitFor(() => taken(budget)[1] === 0);
  expect(taken(budget)).toEqual([0, 0]);
  await ask(fixture, chat({ stream: true }), CHAT, { "x-how": "stream" });
  await waitFor(() => taken(budget)[1] === 0);
  const [streamed] = taken(budget);
  expect(streamed).toBeGreaterThan(100);
  expect(streamed).toBeLessThanOrEqual(230);
  const aborted = openInside(fixture, CHAT, { body: JSON.stringify(chat()), headers: { "content-type": "application/json" } });
  aborted.catch(() => undefined);
  await waitFor(() => taken(budget)[1] > 0);
  await fixture.attachment[Symbol.asyncDispose]();
  await waitFor(() => taken(budget)[1] === 0);
  // whoever leaves before the answer begins has asked for all of it
  expect(taken(budget)[0]).toBeGreaterThanOrEqual(streamed + 200);
  await aborted.catch(() => undefined);
});

test("`warn` lets pass and records; thresholds are reported once", async () => {
  const budget = testBudget("requests", 2, { onExceed: "warn" });
  const { fixture, findings, taken } = await setting({ budgets: [budget] }, (_request, response) => json(response, { usage: usage(1, 1) }));
  for (let call = 1; call <= 3; call += 1) {
    expect((await ask(fixture, chat())).status).toBe(200);
    await waitFor(() => taken(budget)[0] === call);
  }
  expect(findings.map(({ finding, reason }) => `${finding} ${/^\d+ %/.exec(reason)?.[0] ?? ""}`)).toEqual([
    "budget_threshold 50 %",
    "budget_threshold 80 %",
    "budget_threshold 90 %",
    "budget_threshold 100 %",
    "budget_exceeded ",
  ]);
  expect(findings.at(-1)).toMatchObject({ sandbox: "box", rule: "budget:of-requests", outcome: "info" });
});

test("budgets of other sandboxes, labels, providers and models do not count a call", async () => {
  const none = ["sandbox:other", "label:team=blue", "provider:anthropic", "model:claude-*"];
  const own = ["sandbox:box", "label:team=red", "provider:openai", "model:gpt-5*"];
  const budgets = [...none.map((scope) => testBudget("requests", 0, { id: scope.replace(/\W/g, "-"), scope }))];
  const { fixture } = await setting({ budgets }, (_request, response) => json(response, { usage: usage(1, 1) }));
  expect((await ask(fixture, chat())).status).toBe(200);
  await open?.disposeAsync();
  for (const scope of own) {
    const { fixture: fixed } = await setting({ budgets: [testBudget("requests", 0, { scope })] }, (_request, response) =>
      response.end("{}"),
    );
    expect((await ask(fixed, chat())).status).toBe(403);
    await open?.disposeAsync();
  }
});

test("compression hides neither size nor model; what is too large to be read is refused", async () => {
  const budget = testBudget("tokens", 1_000);
  const { fixture, reached } = await setting({ budgets: [budget] }, (_request, response) => json(response, { usage: usage(1, 1) }));
  const large = JSON.stringify(chat({ pad: "x".repeat(10_000) }));
  const packed = gzipSync(large);
  expect(packed.length).toBeLessThan(300);
  const send = (body: string | Buffer, headers: Record<string, string>) =>
    fetchInside(fixture, CHAT, { body, headers: { "content-type": "application/json", ...headers } });
  expect((await send(packed, { "content-encoding": "gzip" })).status).toBe(403);
  expect((await send(gzipSync(JSON.stringify(chat())), { "content-encoding": "gzip" })).status).toBe(200);
  expect((await send(Buffer.from("{}"), { "content-encoding": "lzma" })).status).toBe(403);
  expect((await send(JSON.stringify(chat({ pad: "x".repeat(100_000) })), {})).status).toBe(403);
  expect(reached()).toBe(1);
});

test("what cannot be counted beforehand is refused under a budget of money or tokens", async () => {
  const budget = testBudget("tokens", 1_000_000);
  const { fixture, reached } = await setting({ budgets: [budget] }, (_request, response) => response.end("{}"));
  const answer = await ask(fixture, { input_file_id: "file-1", endpoint: "/v1/chat/completions" }, `https://${OPENAI}/v1/batches`);
  expect([answer.status, reached()]).toEqual([403, 0]);
  expect(answer.text).toContain("not known before it was used");
});

test("unknown prices: deny refuses, assume_max takes the dearest, allow counts nothing", async () => {
  const budget = testBudget("usd", 1);
  const unknown = { costOf: ({ model }: { model: string }) => (model === "dear" ? 300_000_000n : null) };
  const run = async (more: GateSettings) => {
    const { fixture, taken } = await setting({ budgets: [budget], ...unknown, ...more }, (_request, response) =>
      json(response, { model: "mystery", usage: usage(1, 1) }),
    );
    const statuses: number[] = [];
    for (let call = 0; call < 4; call += 1) statuses.push((await ask(fixture, chat({ model: "mystery" }))).status);
    await waitFor(() => taken(budget)[1] === 0);
    const [used] = taken(budget);
    await open?.disposeAsync();
    return [statuses, used / 1e9];
  };
  expect(await run({ unknownPrice: () => "deny" })).toEqual([[403, 403, 403, 403], 0]);
  expect(await run({ unknownPrice: () => "allow" })).toEqual([[200, 200, 200, 200], 0]);
  expect(await run({ unknownPrice: () => "assume_max", dearestModel: () => "dear" })).toEqual([[200, 200, 200, 403], 0.9]);
  expect(await run({ unknownPrice: () => "assume_max", dearestModel: () => null })).toEqual([[403, 403, 403, 403], 0]);
});

test("a budget that cannot be read denies", async () => {
  const { fixture, reached, store } = await setting({ budgets: [testBudget("requests", 5)] }, (_request, response) => response.end("{}"));
  await store[Symbol.asyncDispose]();
  const answer = await ask(fixture, chat());
  expect([answer.status, answer.headers["x-agentkernel-denied"], reached()]).toEqual([403, "error", 0]);
  open = undefined;
  await fixture[Symbol.asyncDispose]();
});

test("a path that nobody knows on a model host is recorded and counted as a call, and refused where its use would have to be known", async () => {
  const url = `https://${OPENAI}/v1/inventions`;
  const requests = testBudget("requests", 2);
  const { fixture, reached, taken } = await setting({ budgets: [requests] }, (_request, response) => json(response, { id: "run_1" }));
  expect((await ask(fixture, { model: "gpt-5-mini" }, url)).status).toBe(200);
  expect(fixture.seen.calls).toMatchObject([
    {
      operation: "unrecognised",
      provider: "openai",
      model: "gpt-5-mini",
      path: "/v1/inventions",
      usage_source: "none",
      call_outcome: "ok",
    },
  ]);
  await waitFor(() => taken(requests)[0] === 1);
  // what makes no model work is none of a budget's business
  expect((await ask(fixture, {}, `https://${OPENAI}/v1/files`)).status).toBe(200);
  expect(taken(requests)).toEqual([1, 0]);
  expect(fixture.seen.calls).toHaveLength(1);
  expect(reached()).toBe(2);
});

test.each(["tokens", "usd"] as const)("a budget in %s refuses what it could not count at a path that nobody knows", async (unit) => {
  const { fixture, reached } = await setting({ budgets: [testBudget(unit, 1_000)] }, (_request, response) => json(response, {}));
  const answer = await ask(fixture, { model: "gpt-5-mini" }, `https://${OPENAI}/v1/inventions`);
  expect([answer.status, answer.headers["x-should-retry"]]).toEqual([403, "false"]);
  expect(answer.text).toContain("what is used at this path of a model provider is not known");
  expect(reached()).toBe(0);
});
