import { Agent } from "node:https";
import { expect, test } from "vitest";
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

test("V87: later requests of a connection are judged anew, and upstream connections are used again", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({
    allow: [HOST, "other.example.com"],
    upstreams: [upstream.override(HOST), upstream.override("other.example.com")],
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 5; i += 1) expect((await fetchInside(fixture, `https://${HOST}/${i}`, { agent })).status).toBe(200);
  expect(upstream.connections()).toBe(1);
  const fronted = await fetchInside(fixture, `https://${HOST}/`, { agent, headers: { host: "other.example.com" } });
  expect(fronted.status).toBe(421);
  expect(upstream.requests).toHaveLength(5);
  agent.destroy();
});
