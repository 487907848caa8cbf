import { expect, test } from "vitest";
import { readUntilClose, tcpInside, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { insideSandbox, statusesOf } from "../support/gateway/in-sandbox.ts";
import { requires } from "../support/requires.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

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
