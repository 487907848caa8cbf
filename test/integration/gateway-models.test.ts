import { expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { budgetGate } from "../support/gateway/budget-gate.ts";
import { fetchOver, type Protocol, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { type Fixture, gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const OPENAI = "api.openai.com";
const GOOGLE = "generativelanguage.googleapis.com";
const AZURE = "corp.openai.azure.com";
const CHAT = `https://${OPENAI}/v1/chat/completions`;

async function setting(models: { readonly allow?: readonly string[]; readonly deny?: readonly string[] }) {
  const stack = new AsyncDisposableStack();
  const store = stack.use(openStore(":memory:", { log: silentLog }));
  const hosts = [OPENAI, GOOGLE, AZURE];
  const upstream = stack.use(
    await testUpstream((request, response) => {
      request.resume();
      response.setHeader("content-type", "application/json");
      // a router of the provider may serve another model than was asked for
      request.on("end", () =>
        response.end('{"model":"o3-pro","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'),
      );
    }),
  );
  const fixture = stack.use(
    await gatewayFixture({
      allow: hosts,
      providers: createProviderTable({ customDomains: [] }),
      upstreams: hosts.map((host) => upstream.override(host)),
      gate: budgetGate(store, { models }),
    }),
  );
  return { fixture, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function ask(fixture: Fixture, body: string, url = CHAT, protocol: Protocol = "http/1.1"): Promise<number> {
  const answer = await fetchOver(protocol, fixture, url, { body, headers: { "content-type": "application/json" } });
  if (answer.status === 403)
    expect([answer.headers["x-agentkernel-denied"], answer.headers["x-should-retry"]]).toEqual(["llm.models", "false"]);
  return answer.status;
}

const named = (model: unknown): string => JSON.stringify({ messages: [], model });

test.each(PROTOCOLS)("V97: an allow list takes globs, any case, dates and prefixes; everything else is refused (%s)", async (protocol) => {
  await using at = await setting({ allow: ["gpt-5-mini", "claude-*"] });
  const statuses = async (...models: readonly unknown[]) =>
    Promise.all(models.map((model) => ask(at.fixture, named(model), CHAT, protocol)));
  expect(await statuses("gpt-5-mini", "GPT-5-MINI", "gpt-5-mini-2025-08-07", "openai/gpt-5-mini", "Claude-Opus-4-5")).toEqual(
    Array(5).fill(200),
  );
  expect(await statuses("gpt-5", "gpt-5-mini-high", "xgpt-5-mini", "gpt-5-latest", "", 5, null, ["gpt-5-mini"])).toEqual(
    Array(8).fill(403),
  );
  // the answer's model is recorded, and is not the sandbox's choice
  await waitFor(() => at.fixture.seen.calls.length === 13);
  expect(at.fixture.seen.calls.filter(({ response_model }) => response_model === "o3-pro")).toHaveLength(5);
});

test.each(PROTOCOLS)("V97: a deny list wins over an allow list (%s)", async (protocol) => {
  await using at = await setting({ allow: ["gpt-*"], deny: ["*-PRO", "gpt-4*"] });
  const models = ["gpt-5", "gpt-5-pro", "gpt-5-pro-2025-10-06", "gpt-4o", "azure/gpt-4o"];
  expect(await Promise.all(models.map((model) => ask(at.fixture, named(model), CHAT, protocol)))).toEqual([200, 403, 403, 403, 403]);
});

test.each(PROTOCOLS)("V15, V16: a model cannot be hidden: twice, escaped, late, in the path, or not at all (%s)", async (protocol) => {
  await using at = await setting({ deny: ["o3*"] });
  const late = `{"messages":[{"role":"user","content":"${"x".repeat(300_000)}"}],"model":"o3"}`;
  const twice = '{"model":"gpt-5","messages":[],"model":"o3"}';
  const escaped = '{"mod\\u0065l":"o3","messages":[]}';
  const inside = '{"messages":[{"role":"user","content":"x","model":"gpt-5"}],"metadata":{"model":"gpt-5"}}';
  for (const body of [late, twice, twice.split('"o3"').join('"gpt-4o"'), escaped, inside, "[]", "", '{"model":']) {
    expect([body.slice(0, 40), await ask(at.fixture, body, CHAT, protocol)]).toEqual([body.slice(0, 40), 403]);
  }
  // the record of what was refused says why nobody could tell
  const doubts = at.fixture.seen.calls.map(({ request_ambiguous, request_unparsable }) => [request_ambiguous, request_unparsable]);
  expect(doubts).toEqual([
    ...[[], [true], [true], [], [], [], [], [undefined, true]].map(([ambiguous, unparsable]) => [ambiguous, unparsable]),
  ]);
  const path = (model: string): string => `https://${GOOGLE}/v1beta/models/${model}:generateContent`;
  expect(await ask(at.fixture, named("gpt-5"), path("o3-mini"), protocol)).toBe(403);
  expect(await ask(at.fixture, named("o3"), path("gemini-2.5-flash"), protocol)).toBe(200);
  const deployment = (name: string): string => `https://${AZURE}/openai/deployments/${name}/chat/completions?api-version=2025-01-01`;
  expect(await ask(at.fixture, named("gpt-5"), deployment("o3"), protocol)).toBe(403);
});

test("a batch is refused, since its models are not known; what was made before can be fetched", async () => {
  await using at = await setting({ allow: ["gpt-5"] });
  expect(await ask(at.fixture, '{"input_file_id":"f","endpoint":"/v1/chat/completions"}', `https://${OPENAI}/v1/batches`)).toBe(403);
  expect((await fetchInside(at.fixture, `https://${OPENAI}/v1/responses/resp_1`)).status).toBe(200);
});

test("a WebSocket whose handshake names a model that is not permitted is refused before it opens", async () => {
  await using at = await setting({ allow: ["gpt-5*"] });
  const answer = await fetchInside(at.fixture, `https://${OPENAI}/v1/realtime?model=gpt-realtime`, {
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    },
  });
  expect([answer.status, answer.headers["x-agentkernel-denied"]]).toEqual([403, "llm.models"]);
});
