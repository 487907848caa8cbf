import type { IncomingHttpHeaders } from "node:http";
import { expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import type { GatewaySecret } from "../../src/egress/gateway.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { makeBinding } from "../../src/secrets/binding.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const OPENAI = "api.openai.com";
const ANTHROPIC = "api.anthropic.com";
const GOOGLE = "generativelanguage.googleapis.com";
const OTHER = "files.example.com";
const VALUE = "sk-org-4f9d8c7b6a5e4d3c2b1a";
const OWN = "sk-own-1a2b3c4d5e6f7a8b9c0d";
const PLACEHOLDER = "ak_placeholder_0123456789abcdef0123456789";

function orgKey(host: string): GatewaySecret {
  return { ...makeBinding({ name: "ORG_KEY", host }), placeholder: "", value: new Secret(VALUE), source: "org" };
}

async function setting(own: readonly GatewaySecret[] = []) {
  const stack = new AsyncDisposableStack();
  const seen: { readonly url: string; readonly headers: IncomingHttpHeaders }[] = [];
  const upstream = stack.use(
    await testUpstream((request, response) => {
      seen.push({ url: request.url ?? "", headers: request.headers });
      request.resume();
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ echo: request.headers.authorization ?? null }));
    }),
  );
  const hosts = [OPENAI, ANTHROPIC, GOOGLE, OTHER];
  const fixture = stack.use(
    await gatewayFixture({
      allow: hosts,
      providers: createProviderTable({ customDomains: [] }),
      upstreams: hosts.map((host) => upstream.override(host)),
      secrets: own,
    }),
  );
  const give = (...keys: readonly GatewaySecret[]): void => fixture.attachment.update({ ...fixture.egress, orgKeys: keys });
  const call = (url: string, headers: Record<string, string> = {}) =>
    fetchInside(fixture, url, { body: '{"model":"m"}', headers: { "content-type": "application/json", ...headers } });
  return { fixture, seen, give, call, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("a key reaches a running sandbox's next call, and leaves with it again", async () => {
  await using at = await setting();
  const url = `https://${OPENAI}/v1/chat/completions`;
  await at.call(url);
  at.give(orgKey(OPENAI));
  const answer = await at.call(url);
  at.give();
  await at.call(url);
  expect(at.seen.map(({ headers }) => headers.authorization)).toEqual([undefined, `Bearer ${VALUE}`, undefined]);
  expect(answer.text).not.toContain(VALUE);
  await waitFor(() => at.fixture.seen.calls.length === 3 && at.fixture.seen.exchanges.length === 3);
  expect(at.fixture.seen.calls.map(({ key_source, secret_injected }) => [key_source, secret_injected])).toEqual([
    ["none", false],
    ["org", true],
    ["none", false],
  ]);
  expect(JSON.stringify(at.fixture.seen)).not.toContain(VALUE);
});

test("whatever credential the client brings is replaced, in every place where the provider would read one", async () => {
  await using at = await setting();
  at.give(orgKey(OPENAI), orgKey(ANTHROPIC), orgKey(GOOGLE));
  await at.call(`https://${OPENAI}/v1/chat/completions`, { authorization: "Bearer sk-attacker" });
  await at.call(`https://${ANTHROPIC}/v1/messages`, { "x-api-key": "sk-attacker", authorization: "Bearer sk-attacker" });
  await at.call(`https://${GOOGLE}/v1beta/models/gemini-2.5-flash:generateContent?k%65y=attacker&alt=json`, {
    "x-goog-api-key": "attacker",
  });
  expect(JSON.stringify(at.seen)).not.toContain("attacker");
  expect(at.seen.map(({ headers }) => headers.authorization ?? headers["x-api-key"] ?? headers["x-goog-api-key"])).toEqual([
    `Bearer ${VALUE}`,
    VALUE,
    VALUE,
  ]);
  expect(at.seen[2]?.url).toBe("/v1beta/models/gemini-2.5-flash:generateContent?alt=json");
});

test("it goes to its own host and for calls of models alone; elsewhere on that host no key of anybody goes", async () => {
  await using at = await setting();
  at.give(orgKey(OPENAI));
  const attacker = { authorization: "Bearer sk-attacker" };
  await at.call(`https://${OTHER}/v1/chat/completions`, attacker);
  await at.call(`https://${OPENAI}/v1/organization/admin_api_keys`, attacker);
  await at.call(`https://${OPENAI}/v1/dashboard/billing/usage`, attacker);
  expect(at.seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer sk-attacker", undefined, undefined]);
  await waitFor(() => at.fixture.seen.exchanges.length === 3);
  expect(at.fixture.seen.exchanges.map(({ secret_injected }) => secret_injected)).toEqual([false, false, false]);
});

test("a key that a browser's WebSocket client brings along is taken out", async () => {
  await using at = await setting();
  at.give(orgKey(OPENAI));
  await fetchInside(at.fixture, `https://${OPENAI}/v1/realtime?model=gpt-realtime`, {
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
      "sec-websocket-protocol": "realtime, openai-insecure-api-key.sk-attacker",
    },
  });
  expect(at.seen.map(({ headers }) => [headers.authorization, headers["sec-websocket-protocol"]])).toEqual([
    [`Bearer ${VALUE}`, "realtime"],
  ]);
});

test("a sandbox's own binding for the host wins, whether it uses it or not", async () => {
  const own: GatewaySecret = { ...makeBinding({ name: "OPENAI_API_KEY", host: OPENAI }), placeholder: PLACEHOLDER, value: new Secret(OWN) };
  await using at = await setting([own]);
  at.give(orgKey(OPENAI), orgKey(ANTHROPIC));
  await at.call(`https://${OPENAI}/v1/chat/completions`, { authorization: `Bearer ${PLACEHOLDER}` });
  await at.call(`https://${OPENAI}/v1/chat/completions`);
  await at.call(`https://${ANTHROPIC}/v1/messages`);
  expect(at.seen.map(({ headers }) => headers.authorization ?? headers["x-api-key"])).toEqual([`Bearer ${OWN}`, undefined, VALUE]);
  await waitFor(() => at.fixture.seen.calls.length === 3);
  expect(at.fixture.seen.calls.map(({ key_source }) => key_source)).toEqual(["sandbox", "none", "org"]);
});
