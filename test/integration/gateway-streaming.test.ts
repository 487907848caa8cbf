import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpsRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { expect, test } from "vitest";
import { fetchInside, openInside, readAll, readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture, type Fixture } from "../support/gateway/fixture.ts";
import { refuseEarly, testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

/** ms for what comes at once: a loaded machine takes seconds for the first connection, and no claim here is about time */
const PATIENCE_MS = 20_000;
const HOST = "api.example.com";
const MIB = 1024 * 1024;

async function* blocks(count: number, block: Buffer): AsyncGenerator<Buffer> {
  for (let i = 0; i < count; i += 1) yield block;
}

async function rawRequest(
  fixture: Fixture,
  options: { readonly method: string; readonly path: string; readonly headers?: Record<string, string> },
) {
  const port = await fixture.reach(HOST, 443);
  return httpsRequest({
    host: "127.0.0.1",
    port,
    servername: HOST,
    ca: fixture.gateway.authorityPem,
    agent: false,
    ...options,
    headers: { host: HOST, ...options.headers },
  });
}

test("300 MB pass in both directions unchanged, and memory stays flat", async () => {
  const block = randomBytes(MIB);
  const count = 300;
  const expected = createHash("sha256");
  for (let i = 0; i < count; i += 1) expected.update(block);
  const digest = expected.digest("hex");
  await using upstream = await testUpstream((request, response) => {
    if (request.method === "GET") {
      void pipeline(Readable.from(blocks(count, block)), response);
      return;
    }
    const hash = createHash("sha256");
    request.on("data", (chunk: Buffer) => hash.update(chunk));
    request.on("end", () => response.end(hash.digest("hex")));
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const before = process.memoryUsage().rss;
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20);
  const upload = await rawRequest(fixture, { method: "POST", path: "/up" });
  const answered = once(upload, "response") as Promise<[IncomingMessage]>;
  await pipeline(Readable.from(blocks(count, block)), upload);
  const [response] = await answered;
  expect((await readAll(response)).text).toBe(digest);
  const hash = createHash("sha256");
  const download = await openInside(fixture, `https://${HOST}/down`);
  for await (const chunk of download) hash.update(chunk as Buffer);
  expect(hash.digest("hex")).toBe(digest);
  clearInterval(watch);
  // client, gateway and upstream share this process; buffering one body in one of them would show as 300 MB
  expect(peak - before).toBeLessThan(200 * MIB);
  await waitFor(() => fixture.seen.exchanges.length === 2);
  expect(fixture.seen.exchanges.map((event) => [event.bytes_out, event.bytes_in])).toEqual([
    [count * MIB, 64],
    [0, count * MIB],
  ]);
});

test("a reader that stops reading stops the upstream from sending", async () => {
  let sent = 0;
  await using upstream = await testUpstream((_request, response) => {
    const block = Buffer.alloc(MIB);
    const more = (): void => {
      while (sent < 200 && response.write(block)) sent += 1;
      if (sent < 200) response.once("drain", () => ((sent += 1), more()));
      else response.end();
    };
    more();
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/`);
  response.pause();
  let last = -1;
  // kernel buffers take some MB, then nothing moves any more
  await waitFor(() => (sent > 0 && sent === last) || ((last = sent), false), { intervalMs: 300 });
  expect(sent).toBeLessThan(100);
  const answer = await readAll(response);
  expect(answer.body.length).toBe(200 * MIB);
});

test("a client that leaves ends the upstream request at once", async () => {
  let upstreamClosed = false;
  await using upstream = await testUpstream((_request, response) => {
    response.write("first");
    response.on("close", () => (upstreamClosed = true));
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/`);
  await once(response, "data");
  response.destroy();
  await waitFor(() => upstreamClosed, { timeoutMs: 5_000, what: "the upstream to see the abort" });
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({ end: "aborted", status: 200, decision: "allow" });
});

test("a client that leaves while it uploads ends the upstream request", async () => {
  let aborted = false;
  await using upstream = await testUpstream((request) => {
    request.resume();
    request.on("close", () => (aborted = !request.complete));
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const upload = await rawRequest(fixture, { method: "POST", path: "/" });
  upload.on("error", () => undefined);
  upload.write("begin");
  await waitFor(() => upstream.requests.length === 1);
  upload.destroy();
  await waitFor(() => aborted, { timeoutMs: 5_000 });
  await waitFor(() => fixture.seen.exchanges[0]?.end === "aborted");
});

test("an upstream that breaks off in the body resets the client instead of ending the response", async () => {
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(200, { "content-type": "text/plain" });
    response.write("half");
    setImmediate(() => response.socket?.destroy());
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/`);
  await expect(readAll(response)).rejects.toThrow(/aborted|reset|hang up/i);
  await waitFor(() => fixture.seen.exchanges[0]?.end === "upstream_error");
});

test("an upstream that breaks off before its head is a 502 that says so", async () => {
  await using upstream = await testUpstream((request) => request.socket.destroy());
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const answer = await fetchInside(fixture, `https://${HOST}/`);
  expect(answer.status).toBe(502);
  expect(JSON.parse(answer.text)).toMatchObject({ error: "upstream_error", host: HOST });
  await waitFor(() => fixture.seen.exchanges[0]?.error_code === "UPSTREAM_ERROR");
});

test("a kept connection that the upstream closed meanwhile costs no failure", async () => {
  let first = true;
  await using upstream = await testUpstream((request, response) => {
    if (!first && request.headers["x-kill"] === "1" && upstream.connections() === 1) {
      request.socket.destroy();
      return;
    }
    first = false;
    response.end("ok");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  expect((await fetchInside(fixture, `https://${HOST}/`)).status).toBe(200);
  const again = await fetchInside(fixture, `https://${HOST}/`, { body: "small", headers: { "x-kill": "1" } });
  expect(again.status).toBe(200);
  expect(upstream.connections()).toBe(2);
  expect(fixture.metrics.count("upstreamRetry")).toBe(1);
});

test("V86: trailers and interim responses arrive", async () => {
  await using upstream = await testUpstream((_request, response) => {
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    response.writeHead(200, { trailer: "x-checksum" });
    response.write("body");
    response.addTrailers({ "x-checksum": "abc" });
    response.end();
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const request = await rawRequest(fixture, { method: "GET", path: "/" });
  let hints = 0;
  request.on("information", (info) => (hints = info.statusCode));
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const answer = await readAll(response);
  expect(hints).toBe(103);
  expect(answer.trailers).toEqual({ "x-checksum": "abc" });
});

test("V86: 100-continue comes from the gateway once policy allowed the request", async () => {
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    request.on("end", () => response.end("done"));
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const request = await rawRequest(fixture, { method: "POST", path: "/", headers: { expect: "100-continue", "content-length": "4" } });
  request.flushHeaders();
  await once(request, "continue", { signal: AbortSignal.timeout(PATIENCE_MS) });
  request.end("body");
  const [response] = (await once(request, "response")) as [IncomingMessage];
  expect((await readAll(response)).text).toBe("done");

  const denied = await tlsInside(fixture, "denied.example.com");
  denied.write("POST / HTTP/1.1\r\nHost: denied.example.com\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  const text = await readUntilClose(denied);
  expect(text).toMatch(/^HTTP\/1\.1 403 /);
  expect(text).toMatch(/connection: close/i);
});

test("V86: a final response that comes before the body is complete reaches a client that still uploads", async () => {
  await using upstream = await testUpstream((request, response) => {
    request.once("data", () => refuseEarly(response));
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const upload = await rawRequest(fixture, { method: "POST", path: "/", headers: { "content-length": String(20 * MIB) } });
  upload.on("error", () => undefined);
  const answered = once(upload, "response", { signal: AbortSignal.timeout(PATIENCE_MS) }) as Promise<[IncomingMessage]>;
  upload.write(Buffer.alloc(256 * 1024));
  const [response] = await answered;
  expect(response.statusCode).toBe(413);
  expect((await readAll(response)).text).toBe("too large");
  upload.destroy();
});

test("V88: pipelined requests are answered in order, each with its own record", async () => {
  await using upstream = await testUpstream((request, response) => {
    // the first takes longest
    if (request.url === "/1") setTimeout(() => response.end("one"), 100);
    else response.end(request.url === "/2" ? "two" : "three");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST);
  const line = (n: number, close = ""): string => `GET /${n} HTTP/1.1\r\nHost: ${HOST}\r\n${close}\r\n`;
  socket.write(line(1) + line(2) + line(3, "Connection: close\r\n"));
  const text = await readUntilClose(socket);
  expect(text.match(/one|two|three/g)).toEqual(["one", "two", "three"]);
  await waitFor(() => fixture.seen.exchanges.length === 3);
});

test("redirects are passed on and not followed", async () => {
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(302, { location: "http://169.254.169.254/latest/meta-data/" });
    response.end();
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const answer = await fetchInside(fixture, `https://${HOST}/`);
  expect(answer.status).toBe(302);
  expect(answer.headers.location).toBe("http://169.254.169.254/latest/meta-data/");
  expect(upstream.requests).toHaveLength(1);
});

test("HEAD, 204 and 304 keep their headers and have no body", async () => {
  await using upstream = await testUpstream((request, response) => {
    if (request.url === "/204") response.writeHead(204).end();
    else if (request.url === "/304") response.writeHead(304, { etag: '"a"' }).end();
    else response.writeHead(200, { "content-length": "1234" }).end();
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const head = await fetchInside(fixture, `https://${HOST}/`, { method: "HEAD" });
  expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, "1234", 0]);
  expect((await fetchInside(fixture, `https://${HOST}/204`)).status).toBe(204);
  expect((await fetchInside(fixture, `https://${HOST}/304`)).headers.etag).toBe('"a"');
});

test("plain HTTP on port 80 is judged and passed like the rest", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("plain"), { tls: false });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  expect((await fetchInside(fixture, `http://${HOST}/`)).text).toBe("plain");
  expect((await fetchInside(fixture, "http://other.example.com/")).status).toBe(403);
});
