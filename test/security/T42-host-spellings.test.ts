import { expect, test } from "vitest";
import { readUntilClose, tcpInside } from "../support/gateway/client.ts";
import { dnsQuery, gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOST = "allowed.example.com";

async function statusOf(host: string, connectTo = HOST): Promise<{ status: string; upstream: number }> {
  await using upstream = await testUpstream((_request, response) => response.end("ok"), { tls: false });
  await using fixture = await gatewayFixture({
    policy: testPolicy([HOST, "*.wild.example.com"]),
    upstreams: [upstream.override(HOST)],
    resolve: (name) => Promise.resolve(name === "localhost" ? ["127.0.0.1"] : []),
  });
  const socket = await tcpInside(fixture, connectTo, 80);
  socket.write(Buffer.from(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`, "latin1"));
  const text = await readUntilClose(socket, { timeoutMs: 3_000 });
  return { status: text.slice(9, 12), upstream: upstream.requests.length };
}

test.each(["ALLOWED.Example.COM", "allowed.example.com.", "allowed.example.com:80"])("%s is the allowed host", async (host) => {
  expect(await statusOf(host)).toEqual({ status: "200", upstream: 1 });
});

test.each([
  "evil.com\0.allowed.example.com",
  "allowed.example.com@evil.com",
  "evil.com#allowed.example.com",
  "evil.com?allowed.example.com",
  "allowed.example.com/evil",
  "allowed.example.com evil.com",
  "allowed..example.com",
  ".allowed.example.com",
  "allowed.example.com..",
  "аllowed.example.com",
  "xn--llowed-8ve.example.com",
  `${"a".repeat(64)}.example.com`,
  `${"a.".repeat(130)}com`,
  "allowed.example.com:443",
  "allowed.example.com:",
  "allowed.example.com:80:80",
  "[allowed.example.com]",
  "-allowed.example.com",
  "allowed%2eexample.com",
  "127.1",
  "2130706433",
  "0x7f.1",
  "0177.0.0.1",
  "[::]",
  "::1",
  "",
  "evilallowed.example.com",
  "allowed.example.com.evil.com",
])("V92: Host %j reaches nobody", async (host) => {
  const { status, upstream } = await statusOf(host);
  expect(["400", "403", "421"]).toContain(status);
  expect(upstream).toBe(0);
});

test.each([
  ["wild.example.com", "403"],
  ["evilwild.example.com", "403"],
  ["a.wild.example.com.evil.com", "403"],
  ["a.wild.example.com", "502"],
  ["a.b.wild.example.com", "502"],
])("V93: a wildcard covers whole labels below it: %s answers %s", async (host, status) => {
  expect((await statusOf(host, host)).status).toBe(status);
});

test.each(["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "a b.com", "evil.com\0.allowed.example.com"])(
  "the resolver gives no address for %j",
  async (name) => {
    await using fixture = await gatewayFixture({ allow: [HOST] });
    const answer = await fixture.ask(dnsQuery(name));
    expect((answer?.readUInt16BE(2) ?? 0) & 15).toBe(5);
    expect(answer?.readUInt16BE(6)).toBe(0);
  },
);
