/** What one sandbox, or an upstream that helps it, can make the gateway hold: bounded for the sandbox as a whole, and nobody else's loss. */
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { ServerResponse } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { request as httpsRequest } from "node:https";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchInside, openInside, readAll, readUntilClose, tcpInside, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { KEY, KEY_HOST, PLACEHOLDER } from "../support/gateway/secret.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.example.com";
const OPENAI = "api.openai.com";
const MIB = 1024 ** 2;

async function modelPlace(heldBytesPerSandbox: number) {
  const stack = new AsyncDisposableStack();
  const bodies: string[] = [];
  const upstream = stack.use(
    await testUpstream((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        bodies.push(body);
        response.end("{}");
      });
    }),
  );
  const fixture = stack.use(
    await gatewayFixture({
      allow: [OPENAI],
      upstreams: [upstream.override(OPENAI)],
      providers: createProviderTable({ customDomains: [] }),
      limits: { heldBytesPerSandbox },
    }),
  );
  return { upstream, fixture, bodies, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("a body that would be held goes on past what the sandbox may make us hold, and not before", async () => {
  for (const [limit, passes] of [
    [100_000, true],
    [MIB, false],
  ] as const) {
    await using at = await modelPlace(limit);
    const socket = await tlsInside(at.fixture, OPENAI);
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: ${OPENAI}\r\nContent-Type: application/json\r\nContent-Length: ${MIB}\r\n\r\n`;
    // the rest never comes
    socket.write(head + " ".repeat(200_000));
    if (passes) await waitFor(() => at.upstream.requests.length === 1);
    await fetchInside(at.fixture, `https://${OPENAI}/v1/models`);
    expect(at.upstream.requests.map(({ url }) => url)).toEqual(passes ? ["/v1/chat/completions", "/v1/models"] : ["/v1/models"]);
    socket.destroy();
  }
});

test("what was held is given back with its exchange: the next body is read and changed like the first", async () => {
  await using at = await modelPlace(100_000);
  const body = JSON.stringify({ model: "gpt-5", stream: true, messages: [{ role: "user", content: "x".repeat(40_000) }] });
  for (let i = 0; i < 5; i += 1) {
    const headers = { "content-type": "application/json" };
    expect((await fetchInside(at.fixture, `https://${OPENAI}/v1/chat/completions`, { body, headers })).status).toBe(200);
  }
  expect(at.bodies.map((sent) => sent.includes("include_usage"))).toEqual([true, true, true, true, true]);
});

test("requests with a compressed body, whose decoders have windows of their own, are capped; others and other sandboxes go on", async () => {
  await using upstream = await testUpstream((request, response) => request.resume().on("end", () => response.end("ok")));
  const options = { allow: [HOST], upstreams: [upstream.override(HOST)], limits: { codedBodiesPerSandbox: 2 } };
  await using fixture = await gatewayFixture(options);
  await using other = await gatewayFixture(options);
  const coded = { headers: { "content-encoding": "gzip" }, body: gzipSync("text") };
  const port = await fixture.reach(HOST, 443);
  const held = [1, 2].map(() => {
    const ask = { host: "127.0.0.1", port, servername: HOST, ca: fixture.gateway.authorityPem, method: "POST", agent: false as const };
    const request = httpsRequest({ ...ask, headers: { host: HOST, "content-encoding": "gzip" } });
    request.on("error", () => undefined);
    request.write(coded.body.subarray(0, 10));
    return request;
  });
  await waitFor(() => upstream.requests.length === 2);
  const refused = await fetchInside(fixture, `https://${HOST}/`, coded);
  expect([refused.status, JSON.parse(refused.text)]).toMatchObject([429, { error: "too_many_requests", rule: "protocol" }]);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({
    decision: "deny",
    rule: "protocol",
    reason: expect.stringContaining("compressed body"),
  });
  expect((await fetchInside(fixture, `https://${HOST}/`, { body: "text" })).status).toBe(200);
  expect((await fetchInside(other, `https://${HOST}/`, coded)).status).toBe(200);
  held[0]?.end(coded.body.subarray(10));
  await waitFor(() => fixture.seen.exchanges.length === 3);
  expect((await fetchInside(fixture, `https://${HOST}/`, coded)).status).toBe(200);
  held[1]?.destroy();
});

/** An origin that sends so many interim responses before its answer; waits for nobody to read them. */
async function chattyOrigin(count: number) {
  let sent = 0;
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => {
      const hint = Buffer.from(`HTTP/1.1 103 Early Hints\r\nLink: <${"a".repeat(4_000)}>\r\n\r\n`);
      const more = (): void => {
        while (sent < count) {
          sent += 1;
          if (!socket.write(hint)) return void socket.once("drain", more);
        }
        socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      };
      more();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    upstream: { host: HOST, url: new URL(`http://localhost:${port}`) },
    sent: () => sent,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, "close");
    },
  };
}

test("of interim responses without end a client is given some, and the answer behind them", async () => {
  await using origin = await chattyOrigin(2_000);
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [origin.upstream] });
  const socket = await tcpInside(fixture, HOST, 80);
  socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  const text = await readUntilClose(socket);
  const interim = text.match(/HTTP\/1\.1 103 /g)?.length ?? 0;
  expect([interim > 0, interim <= 32]).toEqual([true, true]);
  expect(text).toMatch(/HTTP\/1\.1 200 [\s\S]*\r\n\r\nok$/);
});

test("over HTTP/2 too", async () => {
  await using origin = await chattyOrigin(2_000);
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [{ ...origin.upstream }] });
  const socket = await tlsInside(fixture, HOST, { alpn: ["h2"] });
  const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
  const stream = session.request({ ":path": "/" });
  let interim = 0;
  stream.on("headers", () => (interim += 1));
  let body = "";
  for await (const chunk of stream) body += String(chunk);
  expect([body, interim > 0, interim <= 32]).toEqual(["ok", true, true]);
  session.destroy();
});

test("interim responses that nobody reads wait in no memory of ours", async () => {
  await using origin = await chattyOrigin(60_000);
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [origin.upstream] });
  const socket = await tcpInside(fixture, HOST, 80);
  socket.pause();
  const before = process.memoryUsage.rss();
  socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  // 240 MB have gone by
  await waitFor(() => origin.sent() === 60_000, { timeoutMs: 30_000, what: "the end of the interim responses" });
  expect((process.memoryUsage.rss() - before) / MIB).toBeLessThan(100);
  socket.destroy();
}, 40_000);

test("idle connections to ever other hosts are kept up to a number, the latest ones", async () => {
  const hosts = Array.from({ length: 270 }, (_, i) => `h${i}.example.com`);
  await using upstream = await testUpstream((_request, response) => response.end("ok"), { tls: false });
  await using fixture = await gatewayFixture({
    slots: hosts.length,
    policy: testPolicy([], { default: "public" }),
    upstreams: hosts.map((host) => upstream.override(host)),
  });
  for (const host of hosts) expect((await fetchInside(fixture, `http://${host}/`)).text).toBe("ok");
  const open = (): Promise<number> =>
    new Promise((resolve, reject) => upstream.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))));
  await waitFor(async () => (await open()) === 256);
  expect(upstream.connections()).toBe(270);
  // the last one is still there, the first is opened anew
  expect((await fetchInside(fixture, `http://${hosts.at(-1)}/`)).text).toBe("ok");
  expect(upstream.connections()).toBe(270);
  expect((await fetchInside(fixture, `http://${hosts[0]}/`)).text).toBe("ok");
  expect(upstream.connections()).toBe(271);
});

test("answers that are compressed although a key went out are undone up to a number at once", async () => {
  const coded = gzipSync("text");
  const streams: ServerResponse[] = [];
  await using upstream = await testUpstream((request, response) => {
    response.writeHead(200, { "content-encoding": "gzip" });
    if (request.url === "/whole") return void response.end(coded);
    response.write(coded.subarray(0, 12));
    streams.push(response);
  });
  await using fixture = await gatewayFixture({
    allow: [KEY_HOST],
    upstreams: [upstream.override(KEY_HOST)],
    secrets: [KEY],
    limits: { codedBodiesPerSandbox: 2 },
  });
  const headers = { authorization: `Bearer ${PLACEHOLDER}` };
  const held = await Promise.all([1, 2].map(() => openInside(fixture, `https://${KEY_HOST}/held`, { headers })));
  await expect(fetchInside(fixture, `https://${KEY_HOST}/whole`, { headers })).rejects.toThrow("aborted");
  // without a key nothing has to be undone
  expect((await fetchInside(fixture, `https://${KEY_HOST}/whole`)).body.equals(coded)).toBe(true);
  for (const stream of streams) stream.end(coded.subarray(12));
  for (const response of held) expect((await readAll(response)).text).toBe("text");
  expect((await fetchInside(fixture, `https://${KEY_HOST}/whole`, { headers })).text).toBe("text");
});
