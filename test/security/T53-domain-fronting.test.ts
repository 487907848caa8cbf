import { connect } from "node:http2";
import { once } from "node:events";
import { expect, test } from "vitest";
import { fetchInside, readUntilClose, tcpInside, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { get, insideSandbox, statusesOf } from "../support/gateway/in-sandbox.ts";
import { requires } from "../support/requires.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const ALLOWED = "cdn.example.com";
const EVIL = "evil.example.com";
const RESOLVER = "dns.example.net";

async function setting() {
  const stack = new AsyncDisposableStack();
  const upstream = stack.use(await testUpstream((_request, response) => response.end("reached")));
  // allowed or not, a host is reached under its own name only
  const hosts = [ALLOWED, EVIL, RESOLVER];
  const fixture = stack.use(await gatewayFixture({ allow: hosts, upstreams: hosts.map((host) => upstream.override(host)) }));
  return { upstream, fixture, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("V90: SNI of one host, Host of another: 421, nothing dialled, recorded", async () => {
  await using at = await setting();
  const answer = await fetchInside(at.fixture, `https://${ALLOWED}/`, { headers: { host: EVIL } });
  expect(answer.status).toBe(421);
  expect(JSON.parse(answer.text)).toMatchObject({ error: "identity_mismatch", rule: "identity" });
  expect(at.upstream.connections()).toBe(0);
  await waitFor(() => at.fixture.seen.exchanges.length === 1);
  expect(at.fixture.seen.exchanges[0]).toMatchObject({ decision: "deny", rule: "identity", status: 421, host: ALLOWED });
});

test("SNI of one host over the address of another: 421", async () => {
  await using at = await setting();
  const answer = await fetchInside(at.fixture, `https://${EVIL}/`, { via: ALLOWED });
  expect(answer.status).toBe(421);
  expect(await denials(at.fixture, "identity")).toMatchObject([{ status: 421 }]);
  expect(at.upstream.connections()).toBe(0);
});

test("a name over an address that the sandbox made up: 421", async () => {
  await using at = await setting();
  const answer = await fetchInside(at.fixture, `https://${ALLOWED}/`, { via: "93.184.216.34" });
  expect(answer.status).toBe(421);
  expect(await denials(at.fixture, "identity")).toMatchObject([{ status: 421 }]);
  expect(at.upstream.connections()).toBe(0);
});

test("DNS over HTTPS through an allowed host's connection: 421", async () => {
  await using at = await setting();
  const answer = await fetchInside(at.fixture, `https://${ALLOWED}/dns-query?dns=AAAB`, {
    headers: { host: RESOLVER, accept: "application/dns-message" },
  });
  expect(answer.status).toBe(421);
  expect(await denials(at.fixture, "identity")).toMatchObject([{ status: 421, host: ALLOWED }]);
  expect(at.upstream.connections()).toBe(0);
});

test("V90: another :authority over HTTP/2 on the same connection (coalescing), and :authority against Host", async () => {
  await using at = await setting();
  const socket = await tlsInside(at.fixture, ALLOWED, { alpn: ["h2"] });
  const session = connect(`https://${ALLOWED}`, { createConnection: () => socket });
  const status = async (headers: Record<string, string>): Promise<unknown> => {
    const stream = session.request({ ":path": "/", ...headers });
    stream.end();
    stream.resume();
    const [response] = (await once(stream, "response")) as [Record<string, unknown>];
    return response[":status"];
  };
  expect(await status({ ":authority": EVIL })).toBe(421);
  expect(await status({ ":authority": ALLOWED, host: EVIL })).toBe(400);
  expect(at.upstream.connections()).toBe(0);
  expect(await status({ ":authority": ALLOWED })).toBe(200);
  expect((await denials(at.fixture, ["identity", "protocol"], 2)).map(({ rule }) => rule).sort()).toEqual(["identity", "protocol"]);
  session.destroy();
});

test.each([
  [`http://${EVIL}/`, [ALLOWED, EVIL]],
  [`https://${EVIL}/`, [ALLOWED, EVIL]],
  [`http://${ALLOWED}/`, [ALLOWED, EVIL]],
  // with the Host that it names this one is what RFC 9112 calls another spelling of "/"
  [`https://${ALLOWED}/`, [EVIL]],
])("V90: the absolute form %s inside TLS is refused with Host %j, and nothing is dialled", async (target, hosts) => {
  await using at = await setting();
  for (const host of hosts) {
    const socket = await tlsInside(at.fixture, ALLOWED);
    socket.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 4(?:00|21) /);
  }
  expect(at.upstream.connections()).toBe(0);
  await waitFor(() => at.fixture.seen.exchanges.length + at.fixture.seen.decisions.length === hosts.length);
  for (const record of [...at.fixture.seen.exchanges, ...at.fixture.seen.decisions]) expect(record.decision).toBe("deny");
});

test("plain HTTP: Host of another name than the address stands for", async () => {
  await using at = await setting();
  const socket = await tcpInside(at.fixture, ALLOWED, 80);
  socket.write(`GET / HTTP/1.1\r\nHost: ${EVIL}\r\nConnection: close\r\n\r\n`);
  expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 421 /);
  expect(at.upstream.connections()).toBe(0);
  expect(await denials(at.fixture, "identity")).toMatchObject([{ status: 421, host: ALLOWED }]);
});

test("a port in Host that is not the connection's", async () => {
  await using at = await setting();
  expect((await fetchInside(at.fixture, `https://${ALLOWED}/`, { headers: { host: `${ALLOWED}:8443` } })).status).toBe(421);
  expect(at.upstream.connections()).toBe(0);
});

test(
  "from inside a sandbox: every pair of names that differ, over its own resolver and sockets",
  requires("bwrap", "python3"),
  async () => {
    await using at = await setting();
    await using inside = await insideSandbox(at.fixture);
    const attempts = [
      { to: ALLOWED, sni: ALLOWED, bytes: get(EVIL) },
      { to: ALLOWED, sni: EVIL, bytes: get(EVIL) },
      { to: ALLOWED, sni: EVIL, bytes: get(ALLOWED) },
      { to: "93.184.216.34", sni: ALLOWED, bytes: get(ALLOWED) },
      { to: ALLOWED, sni: ALLOWED, bytes: get(`${ALLOWED}:8443`) },
      { to: ALLOWED, bytes: get(EVIL) },
    ];
    expect(statusesOf(await inside.send(attempts))).toEqual(attempts.map(() => "421"));
    expect(await denials(at.fixture, "identity", attempts.length)).toHaveLength(attempts.length);
    expect(at.upstream.connections()).toBe(0);
    expect(statusesOf(await inside.send([{ to: ALLOWED, sni: ALLOWED, bytes: get(ALLOWED) }]))).toEqual(["200"]);
  },
);
