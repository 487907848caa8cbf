import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import { fetchInside, readUntilClose } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.example.com";
const ADDRESS = "93.184.216.34";

/** A proxy that notes what it is asked for and leads everywhere to one port. */
async function testProxy(options: { readonly to: number; readonly status?: string; readonly silent?: boolean }) {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("data", (head: Buffer) => {
      asked.push(head.toString("latin1"));
      if (options.silent === true) return;
      if (options.status !== undefined) return void socket.end(`HTTP/1.1 ${options.status}\r\n\r\n`);
      const onward = connect(options.to, "127.0.0.1");
      sockets.add(onward);
      onward.on("error", () => socket.destroy());
      socket.write("HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n");
      socket.pipe(onward).pipe(socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    asked,
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

test("connections go through the network's proxy, to the judged address, with its credentials and verified end to end", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("reached"), { name: HOST });
  await using proxy = await testProxy({ to: upstream.port });
  await using fixture = await gatewayFixture({
    allow: [HOST],
    extraCa: upstream.override(HOST).ca ?? "",
    upstreamProxy: { url: proxy.url, credentials: new Secret("me:pass") },
    resolve: () => Promise.resolve([ADDRESS]),
  });
  expect((await fetchInside(fixture, `https://${HOST}/`)).text).toBe("reached");
  expect(proxy.asked).toEqual([
    `CONNECT ${ADDRESS}:443 HTTP/1.1\r\nHost: ${ADDRESS}:443\r\nProxy-Authorization: Basic ${Buffer.from("me:pass").toString("base64")}\r\n\r\n`,
  ]);
  expect(upstream.requests[0]?.rawHeaders.join("\n")).not.toMatch(/proxy-authorization/i);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({ address: ADDRESS, decision: "allow" });
  expect(JSON.stringify(fixture.seen)).not.toContain(Buffer.from("me:pass").toString("base64"));
});

test("a certificate that does not fit is refused behind a proxy, too", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("never"), { name: "other.example.com" });
  await using proxy = await testProxy({ to: upstream.port });
  await using fixture = await gatewayFixture({
    allow: [HOST],
    extraCa: upstream.override(HOST).ca ?? "",
    upstreamProxy: { url: proxy.url },
    resolve: () => Promise.resolve([ADDRESS]),
  });
  expect((await fetchInside(fixture, `https://${HOST}/`)).status).toBe(502);
  expect(upstream.requests).toHaveLength(0);
});

test("addresses that may not be dialled are not asked of the proxy either", async () => {
  await using proxy = await testProxy({ to: 1 });
  await using fixture = await gatewayFixture({
    allow: [HOST],
    upstreamProxy: { url: proxy.url },
    resolve: () => Promise.resolve(["169.254.169.254"]),
  });
  expect((await fetchInside(fixture, `https://${HOST}/`)).status).toBe(403);
  expect(proxy.asked).toEqual([]);
});

test("origins that the operator named are reached directly", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("direct"));
  await using proxy = await testProxy({ to: 1 });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], upstreamProxy: { url: proxy.url } });
  expect((await fetchInside(fixture, `https://${HOST}/`)).text).toBe("direct");
  expect(proxy.asked).toEqual([]);
});

test.each<[string, { readonly status?: string; readonly silent?: boolean }, number]>([
  ["refuses", { status: "407 Proxy Authentication Required" }, 502],
  ["does not answer", { silent: true }, 504],
])("a proxy that %s is an upstream error", async (_name, how, status) => {
  await using proxy = await testProxy({ to: 1, ...how });
  await using fixture = await gatewayFixture({
    allow: [HOST],
    upstreamProxy: { url: proxy.url },
    resolve: () => Promise.resolve([ADDRESS]),
    limits: { connectTimeoutMs: 300 },
  });
  const answer = await fetchInside(fixture, `https://${HOST}/`);
  expect(answer.status).toBe(status);
  expect(answer.text).toContain("the proxy");
});

test.each([
  [ADDRESS, 200],
  // whom a library that is given a socket and no name takes the other side for
  ["localhost", 502],
  ["127.0.0.1", 502],
])("an address is what its certificate has to be for, behind a proxy too: one for %s gives %i", async (name, status) => {
  await using upstream = await testUpstream((_request, response) => response.end("reached"), { name });
  await using proxy = await testProxy({ to: upstream.port });
  await using fixture = await gatewayFixture({
    allow: [ADDRESS],
    extraCa: upstream.override(HOST).ca ?? "",
    upstreamProxy: { url: proxy.url },
  });
  // a client that names the address, as it is sent none in its ClientHello
  const socket = connectTls({
    host: "127.0.0.1",
    port: await fixture.reach(ADDRESS, 443),
    servername: "",
    ca: fixture.gateway.authorityPem,
    checkServerIdentity: () => undefined,
  });
  socket.write(`GET / HTTP/1.1\r\nHost: ${ADDRESS}\r\nConnection: close\r\n\r\n`);
  expect((await readUntilClose(socket)).slice(9, 12)).toBe(String(status));
  expect(upstream.requests).toHaveLength(status === 200 ? 1 : 0);
});
