/**
 * Both sides of the gateway at once, each as it should not be: requests in one packet and behind one another, upgrades, bodies that never
 * end, clients that leave; upstreams that answer late, twice, in half or something else. Whatever it is, it costs its own connection: a
 * fault that ends the process fails this file by itself, and a neighbour is served afterwards.
 */
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createProviderTable } from "../../src/providers/table.ts";
import { fuzz } from "../support/fuzz.ts";
import { fetchInside, tcpInside, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { KEY, PLACEHOLDER } from "../support/gateway/secret.ts";

const HOST = "api.openai.com";
const CODED = gzipSync("hello").toString("latin1");
const SOCKET = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const CHUNKS = "5\r\nhello\r\n";

const line = fc.constantFrom(
  "GET / HTTP/1.1",
  "GET /v1/responses HTTP/1.1",
  "POST /v1/chat/completions HTTP/1.1",
  "HEAD / HTTP/1.1",
  "CONNECT a:443 HTTP/1.1",
  "GET / HTTP/1.0",
  "TRACE / HTTP/1.1",
);
const rest = fc.constantFrom(
  "\r\n",
  "\r\n",
  `${SOCKET}\r\n`,
  `${SOCKET}\r\n\x81\x85\x01\x02\x03\x04hello`,
  "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
  "Content-Length: 5\r\n\r\nhello",
  "Content-Length: 50\r\n\r\nhello",
  "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
  `Transfer-Encoding: chunked\r\n\r\n${CHUNKS}0\r\n\r\n`,
  `Transfer-Encoding: chunked\r\n\r\n${CHUNKS}`,
  `Content-Encoding: gzip\r\nContent-Length: ${CODED.length}\r\n\r\n${CODED}`,
  "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
  `Authorization: Bearer ${PLACEHOLDER}\r\n\r\n`,
  `Content-Length: ${PLACEHOLDER.length}\r\n\r\n${PLACEHOLDER}`,
  "Connection: close\r\n\r\n",
  "Connection: host\r\n\r\n",
);
const answer = fc.constantFrom(
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
  "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: a\r\n\r\n",
  "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n\x81\x02hi\x88\x02\x03\xe8",
  "HTTP/1.1 103 E\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbye",
  "HTTP/1.1 204 N\r\n\r\n",
  "HTTP/1.1 099 X\r\n\r\n",
  `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n${CODED}`,
  "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {"a":1}\n\ndata: [DONE]\n\n',
  "SSH-2.0-x\r\n",
  "",
);
const end = fc.constantFrom("stay", "end", "reset");
const life = fc.record({
  isTls: fc.boolean(),
  requests: fc.array(fc.tuple(line, rest), { minLength: 1, maxLength: 4 }),
  /** bytes of a packet */
  size: fc.constantFrom(100_000, 100_000, 200, 17),
  client: end,
  answers: fc.array(fc.record({ bytes: answer, part: fc.constantFrom(1, 1, 0.5), isLate: fc.boolean(), last: end }), {
    minLength: 1,
    maxLength: 3,
  }),
});

test("no life of a connection costs another one", async () => {
  let answers: readonly { bytes: string; part: number; isLate: boolean; last: string }[] = [];
  const sockets = new Set<Socket>();
  const upstream = createServer((socket) => {
    sockets.add(socket);
    let at = 0;
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", () => {
      const next = answers[at++ % answers.length];
      if (next === undefined) return;
      const say = (): void => {
        if (socket.destroyed) return;
        socket.write(Buffer.from(next.bytes.slice(0, next.bytes.length * next.part), "latin1"));
        if (next.last === "end") socket.end();
        if (next.last === "reset") socket.resetAndDestroy();
      };
      if (next.isLate) setTimeout(say, 5);
      else say();
    });
  });
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const url = new URL(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`);
  await using fixture = await gatewayFixture({
    allow: [HOST],
    upstreams: [{ host: HOST, url }],
    secrets: [{ ...KEY, host: HOST }],
    providers: createProviderTable({ customDomains: [] }),
  });
  await fuzz(
    fc.asyncProperty(life, async ({ isTls, requests, size, client, answers: theirs }) => {
      answers = theirs;
      const socket = isTls ? await tlsInside(fixture, HOST) : await tcpInside(fixture, HOST, 80);
      socket.on("error", () => socket.destroy());
      socket.resume();
      const bytes = Buffer.from(requests.map(([first, more]) => `${first}\r\nHost: ${HOST}\r\n${more}`).join(""), "latin1");
      for (let at = 0; at < bytes.length && !socket.destroyed; at += size) socket.write(bytes.subarray(at, at + size));
      await delay(12);
      if (client === "end") socket.end();
      if (client === "reset") socket.destroy();
      await delay(2);
      socket.destroy();
    }),
    { runs: 600, startsProcesses: true },
  );
  answers = [{ bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", part: 1, isLate: false, last: "stay" }];
  expect((await fetchInside(fixture, `https://${HOST}/`)).text).toBe("ok");
  expect(fixture.seen.exchanges.filter(({ error_code: code }) => code === "INTERNAL")).toEqual([]);
  for (const socket of sockets) socket.destroy();
  upstream.close();
});
