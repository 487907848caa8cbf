import { expect, test } from "vitest";
import { readUntilClose, tcpInside, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { insideSandbox, statusesOf } from "../support/gateway/in-sandbox.ts";
import { requires } from "../support/requires.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "allowed.example.com";

const HOSTILE = [
  ["h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n", "GET"],
  ["an unknown protocol", "Connection: Upgrade\r\nUpgrade: tunnel/1.0\r\n", "GET"],
  ["websocket by POST", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "POST"],
  ["websocket with a body", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 24\r\n", "GET"],
  ["websocket in chunks", "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", "GET"],
  ["two protocols", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", "GET"],
] as const;

test.each(HOSTILE)("an upgrade to %s is refused, and bytes after it go nowhere", async (_name, headers, method) => {
  await using upstream = await testUpstream((_request, response) => response.end("never"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  for (const socket of [await tlsInside(fixture, HOST), await tcpInside(fixture, HOST, 80)]) {
    socket.write(`${method} / HTTP/1.1\r\nHost: ${HOST}\r\n${headers}\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`);
    expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 400 /);
  }
  expect(upstream.connections()).toBe(0);
  expect(await denials(fixture, "protocol")).toMatchObject([{ host: HOST }, ...fixture.seen.decisions.slice(1)]);
});

test("none of them is served from inside a sandbox, and what follows goes nowhere", requires("bwrap", "python3"), async () => {
  await using upstream = await testUpstream((_request, response) => response.end("never"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using inside = await insideSandbox(fixture);
  const replies = await inside.send(
    HOSTILE.flatMap(([, headers, method]) => {
      const bytes = `${method} / HTTP/1.1\r\nHost: ${HOST}\r\n${headers}\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`;
      return [
        { to: HOST, bytes },
        { to: HOST, sni: HOST, bytes },
      ];
    }),
  );
  expect(statusesOf(replies)).toEqual(replies.map(() => "400"));
  await denials(fixture, "protocol");
  expect(upstream.connections()).toBe(0);
});

test.each(["GET /slow", "POST /slow"])(
  "an upgrade behind %s, which is not answered yet, ends that connection and no other",
  async (line) => {
    await using upstream = await testUpstream((request, response) => {
      if (request.url !== "/slow") response.end("ok");
    });
    await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
    const first = `${line} HTTP/1.1\r\nHost: ${HOST}\r\n${line.startsWith("POST") ? "Content-Length: 3\r\n\r\nabc" : "\r\n"}`;
    const upgrade = `GET /socket HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
    const other = await tlsInside(fixture, HOST);
    const socket = await tlsInside(fixture, HOST);
    // in one piece, as an attacker sends it: the parser gives both to the gateway in the same turn
    socket.write(`${first}${upgrade}`);
    expect(await readUntilClose(socket)).toBe("");
    expect((await denials(fixture, "protocol")).map(({ reason }) => reason)).toEqual([
      "an upgrade behind a request that is not answered yet",
    ]);
    other.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
    expect(await readUntilClose(other)).toMatch(/^HTTP\/1\.1 200 /);
    expect(upstream.requests.map(({ url }) => url)).not.toContain("/socket");
  },
);

test("100 Continue never stands in the middle of an earlier answer", async () => {
  let answer: () => void = () => undefined;
  await using upstream = await testUpstream((request, response) => {
    if (request.url === "/slow") answer = () => response.end("slow");
    else request.resume().on("end", () => response.end("done"));
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST);
  const expecting = `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nhello`;
  socket.write(`GET /slow HTTP/1.1\r\nHost: ${HOST}\r\n\r\n${expecting}`);
  const text = readUntilClose(socket);
  await waitFor(() => upstream.requests.length === 2);
  answer();
  expect((await text).replaceAll(/^(?:Date|Connection): .*\r\n/gm, "")).toBe(
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslowHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone",
  );
});

test("a websocket upgrade of an upstream that answers something else opens no tunnel", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("plain answer"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST);
  socket.write(
    `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nGET /second HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
  );
  expect(await readUntilClose(socket)).toContain("plain answer");
  expect(upstream.requests.map((request) => request.url)).toEqual(["/"]);
});
