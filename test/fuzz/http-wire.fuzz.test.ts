import { once } from "node:events";
import { duplexPair } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Connection } from "../../src/egress/accept/connection.ts";
import { Holdings } from "../../src/egress/exchange/holdings.ts";
import type { Exchange } from "../../src/egress/exchange/exchange.ts";
import { createHttp1 } from "../../src/egress/exchange/h1.ts";
import type { Runtime } from "../../src/egress/runtime.ts";
import { parseHost } from "../../src/policy/host.ts";
import { fuzz } from "../support/fuzz.ts";
import { LIMITS } from "../support/gateway/fixture.ts";
import { readStrictly, type StrictRequest } from "../support/gateway/strict-http.ts";

/** The gateway's way of reading HTTP/1.1, fed with hostile bytes, against a reader that forgives nothing. */

type Read = { readonly method: string; readonly target: string; body: string; complete: boolean };

const expected = parseHost("a.example.com");
if (expected.kind === "invalid") throw new Error(expected.reason);

/** What the gateway takes for requests, in order, with the bodies it would forward. */
async function readByGateway(bytes: Buffer, at: readonly number[]): Promise<readonly Read[]> {
  const requests: Read[] = [];
  const runtime = {
    limits: LIMITS,
    clock: systemClock,
    log: silentLog,
    serve: (exchange: Exchange) => {
      const one: Read = { method: exchange.method, target: exchange.rawTarget, body: "", complete: false };
      requests.push(one);
      const { source } = exchange.downstream;
      const done = (): void => {
        one.complete = true;
        exchange.downstream.head(200, "OK", ["content-length", "0"]);
        exchange.downstream.end([]);
      };
      if (source === null) done();
      else source.on("data", (chunk: Buffer) => (one.body += chunk.toString("latin1"))).on("end", done);
    },
  } as unknown as Runtime;
  const http = createHttp1(runtime);
  const [client, server] = duplexPair();
  const connection = {
    attachment: { decided: () => undefined, generation: { egress: {} }, holdings: new Holdings(LIMITS) },
    expected,
    destination: { address: "198.18.0.1", port: 80 },
    scheme: "http",
    serverName: null,
    deadlineAt: 0,
    exchanges: new Set(),
    destroy: () => server.destroy(),
  } as unknown as Connection;
  for (const end of [client, server]) end.on("error", () => undefined);
  client.resume();
  http.accept(connection, Object.assign(server, { setNoDelay: () => undefined, setTimeout: () => server }) as never);
  for (let from = 0, i = 0; from < bytes.length && !server.destroyed; i += 1) {
    const size = at[i % at.length] ?? 1;
    client.write(bytes.subarray(from, from + size));
    from += size;
    if (i % 4 === 0) await turn();
  }
  client.end();
  for (let i = 0; i < 6 && !server.destroyed; i += 1) await turn();
  const read = requests.map((one) => ({ ...one }));
  if (!server.destroyed) {
    const closed = once(server, "close");
    server.destroy();
    await closed;
  }
  client.destroy();
  return read;
}

const line = fc.constantFrom("\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", " \r\n", "\0\r\n");
const header = fc.constantFrom(
  "Host: a.example.com",
  "Host: b",
  "Content-Length: 5",
  "Content-Length: 0",
  "Content-Length: 11",
  "Content-Length: +5",
  "Content-Length: 5, 5",
  "Content-Length:5 ",
  "Content-Length: 0x5",
  "Content-Length : 5",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: Chunked",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding: identity",
  "Transfer-Encoding:\tchunked",
  "Transfer-Encoding: \x0bchunked",
  "Transfer-Encoding : chunked",
  "Transfer-encoding: xchunked",
  "X-A: b",
  "X-A:",
  " folded",
  "\tfolded",
  "X A: b",
  ": b",
  "X-A: \x7f",
  "X-\xe9: b",
  "X-A: \xe9",
  "Connection: keep-alive",
  "Connection: Transfer-Encoding",
  "Expect: 100-continue",
  "Upgrade: h2c",
);
const start = fc.constantFrom(
  "GET / HTTP/1.1",
  "POST /x HTTP/1.1",
  "POST /x HTTP/1.1",
  "GET  / HTTP/1.1",
  "GET / HTTP/1.1 ",
  "GET / HTTP/1.2",
  "GET /\x20b HTTP/1.1",
  "get / HTTP/1.1",
  "GET http://b/ HTTP/1.1",
  "GET /a\tb HTTP/1.1",
  "GET /",
  "",
);
const body = fc.constantFrom(
  "",
  "hello",
  "0\r\n\r\n",
  "5\r\nhello\r\n0\r\n\r\n",
  "5\r\nhello\r\n0\r\nX-A: b\r\n\r\n",
  "5;a=b\r\nhello\r\n0\r\n\r\n",
  '5;a="\n"\r\nhello\r\n0\r\n\r\n',
  "5 \r\nhello\r\n0\r\n\r\n",
  "+5\r\nhello\r\n0\r\n\r\n",
  "0x5\r\nhello\r\n0\r\n\r\n",
  "5\nhello\r\n0\r\n\r\n",
  "5\r\nhello0\r\n\r\n",
  "5\r\nhello\n0\r\n\r\n",
  "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
  "100000005\r\nhello\r\n0\r\n\r\n",
  "5\r\nhello\r\n00\r\n\r\n",
  "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
  "5\r\nhello\r\n0\r\n",
);
const honest = fc.constantFrom(
  "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n",
  "POST /y HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 5\r\n\r\nhello",
  "POST /z HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
);
const odd = fc
  .tuple(start, line, fc.array(fc.tuple(header, line), { maxLength: 4 }), line, body)
  .map(([first, end, headers, blank, content]) => `${first}${end}Host: a.example.com${end}${headers.flat().join("")}${blank}${content}`);
const mutated = fc
  .tuple(honest, fc.nat(), fc.constantFrom("\r", "\n", " ", "\0", ":", ";", ",", "0", "\t", "\x80", ""))
  .map(([text, at, by]) => `${text.slice(0, at % text.length)}${by}${text.slice((at % text.length) + 1)}`);
const wire = fc.array(fc.oneof({ weight: 3, arbitrary: honest }, { weight: 4, arbitrary: odd }, { weight: 2, arbitrary: mutated }), {
  minLength: 1,
  maxLength: 3,
});
const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 4 });

test("takes no byte for a request, a header's end or a body but those that the strict reader takes for it", async () => {
  const seen = { whole: 0, none: 0, partial: 0 };
  const total = await fuzz(
    fc.asyncProperty(wire, sizes, async (parts, at) => {
      const text = parts.join("");
      const wanted = readStrictly(text);
      const found = await readByGateway(Buffer.from(text, "latin1"), at);
      seen[found.length === 0 ? "none" : found.every(({ complete }) => complete) ? "whole" : "partial"] += 1;
      expect(found.length, JSON.stringify(text)).toBeLessThanOrEqual(wanted.length);
      for (const [i, one] of found.entries()) holds(one, wanted[i], text);
    }),
    { runs: 3_000 },
  );
  expect(Math.min(seen.whole, seen.none)).toBeGreaterThan(total / 20);
});

function holds(found: Read, wanted: StrictRequest | undefined, text: string): void {
  expect({ method: found.method, target: found.target }, JSON.stringify(text)).toEqual({ method: wanted?.method, target: wanted?.target });
  expect(wanted?.body.startsWith(found.body), JSON.stringify(text)).toBe(true);
  if (found.complete) expect([wanted?.body, wanted?.complete], JSON.stringify(text)).toEqual([found.body, true]);
}
