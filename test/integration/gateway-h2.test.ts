import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from "node:http2";
import { expect, test } from "vitest";
import { tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture, type Fixture } from "../support/gateway/fixture.ts";
import { refuseEarly, testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.example.com";

async function session(fixture: Fixture): Promise<ClientHttp2Session & AsyncDisposable> {
  const socket = await tlsInside(fixture, HOST, { alpn: ["h2"] });
  const opened = connect(`https://${HOST}`, { createConnection: () => socket, maxSessionMemory: 256 });
  opened.on("error", () => undefined);
  return Object.assign(opened, {
    [Symbol.asyncDispose]: async () => {
      opened.destroy();
      await Promise.resolve();
    },
  });
}

async function answer(
  stream: ClientHttp2Stream,
): Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer; trailers: IncomingHttpHeaders }> {
  let trailers: IncomingHttpHeaders = {};
  stream.on("trailers", (found) => (trailers = found));
  const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status": number }];
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { status: headers[":status"], headers, body: Buffer.concat(chunks), trailers };
}

test("V89: HTTP/2 streams become HTTP/1.1 exchanges of their own, 20 at a time", async () => {
  await using upstream = await testUpstream((request, response) => {
    let size = 0;
    request.on("data", (chunk: Buffer) => (size += chunk.length));
    request.on("end", () =>
      response.writeHead(200, { "X-Mixed": "Case", "set-cookie": ["a=1", "b=2"] }).end(`${request.url ?? ""} ${size}`),
    );
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using client = await session(fixture);
  const body = randomBytes(5 * 1024 * 1024);
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const stream = client.request({ ":method": "POST", ":path": `/${i}`, ":authority": HOST, cookie: ["x=1", "y=2"] });
      stream.end(body);
      return answer(stream);
    }),
  );
  expect(answers.map(({ status, body: text }) => `${status} ${text.toString()}`)).toEqual(
    Array.from({ length: 20 }, (_, i) => `200 /${i} ${body.length}`),
  );
  expect(answers[0]?.headers["x-mixed"]).toBe("Case");
  expect(answers[0]?.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
  const sent = upstream.requests[0]?.rawHeaders ?? [];
  expect(sent[sent.findIndex((name) => name.toLowerCase() === "cookie") + 1]).toBe("x=1; y=2");
  await waitFor(() => fixture.seen.exchanges.length === 20);
  expect(fixture.seen.exchanges.every((event) => event.protocol === "h2" && event.end === "complete")).toBe(true);
});

test("responses without a body end", async () => {
  await using upstream = await testUpstream((request, response) => {
    if (request.url === "/204") response.writeHead(204).end();
    else response.writeHead(200, { "content-length": "77" }).end();
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using client = await session(fixture);
  expect((await answer(client.request({ ":path": "/204", ":authority": HOST }).end())).status).toBe(204);
  const head = await answer(client.request({ ":method": "HEAD", ":path": "/", ":authority": HOST }).end());
  expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, "77", 0]);
  await waitFor(() => fixture.seen.exchanges.length === 2);
});

test("every stream's :authority is held against the connection", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({
    allow: [HOST, "other.example.com"],
    upstreams: [upstream.override(HOST), upstream.override("other.example.com")],
  });
  await using client = await session(fixture);
  expect((await answer(client.request({ ":path": "/", ":authority": HOST }).end())).status).toBe(200);
  expect((await answer(client.request({ ":path": "/", ":authority": "other.example.com" }).end())).status).toBe(421);
  expect((await answer(client.request({ ":path": "/", ":authority": HOST, host: "other.example.com" }).end())).status).toBe(400);
  expect(upstream.requests).toHaveLength(1);
});

test("V89: a stream that its client resets ends its upstream request and no other", async () => {
  let closed = 0;
  await using upstream = await testUpstream((request, response) => {
    response.on("close", () => (closed += request.url === "/endless" ? 1 : 0));
    if (request.url === "/endless") response.write("x");
    else response.end("fine");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using client = await session(fixture);
  const endless = client.request({ ":path": "/endless", ":authority": HOST });
  endless.on("error", () => undefined);
  await once(endless, "response");
  endless.close(constants.NGHTTP2_CANCEL);
  await waitFor(() => closed === 1, { timeoutMs: 5_000 });
  expect((await answer(client.request({ ":path": "/", ":authority": HOST }).end())).body.toString()).toBe("fine");
});

test("V89: a client that says GOAWAY is served what it asked for before; one that is gone takes its upstream requests with it", async () => {
  const waiting: ServerResponse[] = [];
  let closed = 0;
  await using upstream = await testUpstream((_request, response) => {
    response.on("close", () => (closed += response.writableFinished ? 0 : 1));
    response.write("first ");
    waiting.push(response);
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using leaving = await session(fixture);
  const asked = answer(leaving.request({ ":path": "/", ":authority": HOST }).end());
  await waitFor(() => waiting.length === 1);
  leaving.goaway(constants.NGHTTP2_NO_ERROR);
  waiting[0]?.end("second");
  expect((await asked).body.toString()).toBe("first second");

  await using gone = await session(fixture);
  const streams = [1, 2, 3].map(() => gone.request({ ":path": "/", ":authority": HOST }).end());
  for (const stream of streams) stream.on("error", () => undefined);
  await waitFor(() => waiting.length === 4);
  gone.destroy();
  await waitFor(() => closed === 3, { timeoutMs: 5_000, what: "the upstream requests to end" });
  await waitFor(() => fixture.seen.exchanges.length === 4);
  expect(fixture.seen.exchanges.map(({ end }) => end)).toEqual(["complete", "aborted", "aborted", "aborted"]);
  // a gateway that goes away says so
  await using kept = await session(fixture);
  const goaway = once(kept, "goaway", { signal: AbortSignal.timeout(20_000) });
  await once(kept, "remoteSettings");
  await fixture.attachment[Symbol.asyncDispose]();
  await Promise.race([goaway, once(kept, "close")]);
  expect(kept.closed || kept.destroyed).toBe(true);
});

test("V86: early hints, 100-continue and an answer that comes before 5 MB are sent reach a client of HTTP/2", async () => {
  await using upstream = await testUpstream((request, response) => {
    if (request.url === "/early") {
      request.once("data", () => refuseEarly(response));
      return;
    }
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    request.resume().on("end", () => response.end("done"));
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using client = await session(fixture);
  const polite = client.request({ ":method": "POST", ":path": "/", ":authority": HOST, expect: "100-continue" });
  const informed: number[] = [];
  polite.on("headers", (headers) => informed.push(Number(headers[":status"])));
  await once(polite, "continue", { signal: AbortSignal.timeout(20_000) });
  const answered = answer(polite);
  polite.end("body");
  expect((await answered).body.toString()).toBe("done");
  expect(informed).toContain(103);

  const upload = client.request({ ":method": "POST", ":path": "/early", ":authority": HOST, "content-length": String(5 * 1024 * 1024) });
  upload.on("error", () => undefined);
  const early = answer(upload);
  upload.write(Buffer.alloc(256 * 1024));
  const { status, body } = await early;
  expect([status, body.toString()]).toEqual([413, "too large"]);
  upload.close();
  await waitFor(() => fixture.seen.exchanges.length === 2);
});

test("trailers, denials and broken upstreams look like HTTP/2", async () => {
  await using upstream = await testUpstream((request, response) => {
    if (request.url === "/break") {
      response.write("half");
      setImmediate(() => response.socket?.destroy());
      return;
    }
    response.writeHead(200, { trailer: "grpc-status" });
    response.write("body");
    response.addTrailers({ "grpc-status": "0" });
    response.end();
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using client = await session(fixture);
  const ok = await answer(client.request({ ":path": "/", ":authority": HOST, te: "trailers" }).end());
  expect(ok.trailers["grpc-status"]).toBe("0");
  await expect(answer(client.request({ ":path": "/break", ":authority": HOST }).end())).rejects.toThrow();
  const connectTo = client.request({ ":method": "CONNECT", ":authority": `${HOST}:443` });
  expect((await answer(connectTo)).status).toBe(405);
});
