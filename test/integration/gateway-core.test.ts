import { Agent } from "node:https";
import { expect, test } from "vitest";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchInside, openInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.example.com";

test("a JSON exchange passes over TLS on both sides and makes one record", async () => {
  await using upstream = await testUpstream((request, response) => {
    response.setHeader("X-Order", "kept");
    response.end(JSON.stringify({ url: request.url }));
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const answer = await fetchInside(fixture, `https://${HOST}/v1/thing?a=1`, {
    body: '{"a":1}',
    headers: { "content-type": "application/json", "X-Custom": "Yes" },
  });
  expect(answer.status).toBe(200);
  expect(JSON.parse(answer.text)).toEqual({ url: "/v1/thing?a=1" });
  expect(answer.rawHeaders).toContain("X-Order");
  expect(upstream.requests[0]?.rawHeaders).toContain("X-Custom");
  expect(upstream.requests[0]?.rawHeaders.map((text) => text.toLowerCase())).not.toContain("via");
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({
    type: "egress.exchange",
    sandbox: "box",
    method: "POST",
    url: `https://${HOST}/v1/thing?a=1`,
    host: HOST,
    port: 443,
    status: 200,
    decision: "allow",
    rule: "allow[0]",
    protocol: "http/1.1",
    bytes_out: 7,
    end: "complete",
    address: "127.0.0.1",
    address_class: "loopback",
    labels: { team: "red" },
  });
});

test("a host without a rule is refused with a body that says what to do", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("never"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override("evil.example.com")] });
  const answer = await fetchInside(fixture, "https://evil.example.com/");
  expect(answer.status).toBe(403);
  expect(answer.headers["x-should-retry"]).toBe("false");
  expect(answer.headers["x-agentkernel-denied"]).toBe("default");
  expect(JSON.parse(answer.text)).toMatchObject({ error: "policy_denied", host: "evil.example.com", port: 443, rule: "default" });
  expect(JSON.parse(answer.text)).toHaveProperty("hint");
  expect(upstream.connections()).toBe(0);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({ decision: "deny", outcome: "deny", status: 403, rule: "default" });
});

test("a stream's first chunk arrives before the upstream sends its second", async () => {
  let sendSecond: () => void = () => undefined;
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: one\n\n");
    sendSecond = () => response.end("data: two\n\n");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/stream`);
  const chunks: string[] = [];
  for await (const chunk of response) {
    chunks.push(String(chunk));
    if (chunks.length === 1) sendSecond();
  }
  expect(chunks).toEqual(["data: one\n\n", "data: two\n\n"]);
});

/** Two kinds of calls that one host takes. */
const ROUTER = "openrouter.ai";
const KINDS = [
  ["/api/v1/chat/completions", { usage: { prompt_tokens: 11, completion_tokens: 2, total_tokens: 13 } }],
  ["/api/v1/messages", { type: "message", usage: { input_tokens: 7, output_tokens: 3 } }],
] as const;

test("V87: fifty calls of two kinds on one connection are each read as what they are; another host on it is refused and recorded", async () => {
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    response.setHeader("content-type", "application/json");
    const kind = KINDS.find(([path]) => path === request.url);
    request.on("end", () => response.end(JSON.stringify({ model: "m", ...kind?.[1] })));
  });
  const hosts = [ROUTER, "other.example.com"];
  await using fixture = await gatewayFixture({
    allow: hosts,
    upstreams: hosts.map((host) => upstream.override(host)),
    providers: createProviderTable({ customDomains: [] }),
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = { agent, body: '{"model":"m"}', headers: { "content-type": "application/json" } };
  for (let i = 0; i < 50; i += 1) expect((await fetchInside(fixture, `https://${ROUTER}${KINDS[i % 2]?.[0] ?? ""}`, ask)).status).toBe(200);
  expect(upstream.connections()).toBe(1);
  await waitFor(() => fixture.seen.calls.length === 50);
  expect(fixture.seen.calls.map(({ operation, input_tokens }) => `${operation} ${input_tokens}`)).toEqual(
    Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? "chat 11" : "messages 7")),
  );
  const fronted = await fetchInside(fixture, `https://${ROUTER}/`, { agent, headers: { host: "other.example.com" } });
  expect(fronted.status).toBe(421);
  expect(upstream.requests).toHaveLength(50);
  await waitFor(() => fixture.seen.exchanges.length === 51);
  expect(fixture.seen.exchanges.at(-1)).toMatchObject({ decision: "deny", outcome: "deny", rule: "identity", status: 421, host: ROUTER });
  agent.destroy();
});
