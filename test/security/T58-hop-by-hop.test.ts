import { expect, test } from "vitest";
import { readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOST = "allowed.example.com";

test("what belongs to one hop stays on it, in both directions", async () => {
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(200, {
      connection: "x-internal",
      "x-internal": "secret",
      "proxy-authenticate": "Basic",
      "x-kept": "yes",
      "keep-alive": "timeout=77",
    });
    response.end("ok");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST);
  socket.write(
    `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close, Authorization, X-Drop\r\nAuthorization: Bearer x\r\nX-Drop: 1\r\nProxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 5\r\nTE: gzip\r\nTrailer: X\r\nX-Keep: 1\r\nx-KEEP-two: 2\r\n\r\n`,
  );
  const text = await readUntilClose(socket);
  expect(text).toMatch(/x-kept: yes/i);
  expect(text).not.toMatch(/x-internal|proxy-authenticate|timeout=77/i);
  const sent = upstream.requests[0]?.rawHeaders ?? [];
  const names = sent.filter((_, i) => i % 2 === 0);
  expect(names.map((name) => name.toLowerCase()).sort()).toEqual(["connection", "host", "x-keep", "x-keep-two"]);
  // spelling and order are the client's; nothing says that a gateway was here
  expect(names).toContain("x-KEEP-two");
});

test.each(["TRACE", "TRACK"])("%s is not served", async (method) => {
  await using upstream = await testUpstream((_request, response) => response.end("never"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST);
  socket.write(`${method} / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  // the parser does not even know TRACK
  expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 40[05] /);
  expect(upstream.requests).toHaveLength(0);
  expect(await denials(fixture, "protocol")).toMatchObject([{ host: HOST }]);
});
