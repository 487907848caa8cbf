import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { fetchOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.example.com";

/** An origin that answers every connection with the same bytes. */
async function rawOrigin(answer: string) {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => socket.end(Buffer.from(answer, "latin1")));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    upstream: { host: HOST, url: new URL(`http://localhost:${port}`) },
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, "close");
    },
  };
}

test.each([
  ["a control character in a header", "HTTP/1.1 200 OK\r\nX-Bad: a\x01b\r\nContent-Length: 2\r\n\r\nok"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
  ["length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
  ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"],
  ["a folded header", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok"],
  ["no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n"],
  ["an upgrade nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"],
  ["a head without end", `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(200_000)}`],
  ["nothing", ""],
])("an answer with %s is a 502 and harms nobody else", async (_name, answer) => {
  await using origin = await rawOrigin(answer);
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [origin.upstream] });
  const got = await fetchInside(fixture, `http://${HOST}/`);
  expect(got.status).toBe(502);
  expect(JSON.parse(got.text)).toMatchObject({ error: "upstream_error", host: HOST });
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({ end: "upstream_error", status: 502 });
});

test("V85: a body shorter than its length resets the client; one that ends with the connection is whole", async () => {
  await using short = await rawOrigin("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok");
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [short.upstream] });
  await expect(fetchInside(fixture, `http://${HOST}/`)).rejects.toThrow();
  await using open = await rawOrigin("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it");
  await using other = await gatewayFixture({ allow: [HOST], upstreams: [open.upstream] });
  expect((await fetchInside(other, `http://${HOST}/`)).text).toBe("all of it");
});

test.each(PROTOCOLS)("a reason phrase in any language, and fields that come twice, pass; nothing is added (%s)", async (protocol) => {
  const head = "HTTP/1.1 404 Non trouv\xc3\xa9 \xe6\x9c\xaa\x01\xff\r\nETag: a\r\nETag: b\r\nLocation: c\r\nLocation: d\r\n";
  await using origin = await rawOrigin(`${head}Content-Length: 2\r\n\r\nok`);
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [origin.upstream] });
  const answer = await fetchOver(protocol, fixture, `https://${HOST}/`);
  expect([answer.status, answer.text]).toEqual([404, "ok"]);
  expect(
    Object.keys(answer.headers)
      .filter((name) => name !== "connection" && name !== ":status")
      .sort(),
  ).toEqual(["content-length", "etag", "location"]);
});

test.each(PROTOCOLS)("an interim status that is none is not passed on (%s)", async (protocol) => {
  await using origin = await rawOrigin("HTTP/1.1 099 X\r\n\r\nHTTP/1.1 000 Y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [origin.upstream] });
  // whatever the upstream's client makes of them, ours is not given what it cannot read
  expect([200, 502]).toContain((await fetchOver(protocol, fixture, `https://${HOST}/`)).status);
});

test("what follows a response on its connection is never taken for the next one", async () => {
  await using origin = await rawOrigin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [origin.upstream] });
  for (let i = 0; i < 3; i += 1) expect((await fetchInside(fixture, `http://${HOST}/${i}`)).text).toBe("ok");
});
