import type { ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchInside, tcpInside, tlsInside } from "../support/gateway/client.ts";
import { clientHello } from "../support/gateway/hello.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "allowed.example.com";
const QUICK = { handshakeTimeoutMs: 200 };

test("who sends nothing, a hello drop by drop or a head that never ends is cut off", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST], limits: { handshakeTimeoutMs: 1_000 } });
  const silent = await tcpInside(fixture, HOST, 443);
  const dripping = await tcpInside(fixture, HOST, 443);
  const head = await tcpInside(fixture, HOST, 80);
  const secured = await tlsInside(fixture, HOST);
  const hello = clientHello({ serverName: HOST });
  let at = 0;
  const drop = (): void => {
    if (!dripping.destroyed) dripping.write(hello.subarray(at, (at += 1)));
    if (!head.destroyed) head.write(at === 1 ? `GET / HTTP/1.1\r\nHost: ${HOST}\r\n` : "X-A: b\r\n");
    if (!secured.destroyed) secured.write(at === 1 ? "GET / HTTP/1.1\r\n" : "X-A: b\r\n");
  };
  // at once: on a busy machine the first 20 ms may be long
  drop();
  const drip = setInterval(drop, 20);
  const sockets = [silent, dripping, head, secured];
  for (const socket of sockets) socket.on("error", () => undefined);
  await Promise.all(
    // a reset is an end, too: events.once would throw it
    sockets.map((socket) => waitFor(() => socket.destroyed, { what: "the end of a slow peer" })),
  );
  clearInterval(drip);
  // the hello and the head that never ended stand in the audit; equal decisions in one event
  await waitFor(() => fixture.seen.decisions.some(({ rule, reason }) => rule === "protocol" && reason.includes("complete in time")));
});

test("an exchange in which nothing moves ends at the idle limit; one that moves lives on", async () => {
  await using upstream = await testUpstream((request, response) => {
    response.write("begin");
    if (request.url !== "/alive") return;
    // longer than the limit in all, and far from it between two pieces: gateway, upstream and client share one loaded process
    let left = 50;
    const timer = setInterval(() => {
      left -= 1;
      if (left > 0) response.write(".");
      else {
        clearInterval(timer);
        response.end("end");
      }
    }, 100);
  });
  await using fixture = await gatewayFixture({
    allow: [HOST],
    upstreams: [upstream.override(HOST)],
    limits: { ...QUICK, idleTimeoutMs: 4_000 },
  });
  const alive = fetchInside(fixture, `https://${HOST}/alive`);
  await expect(fetchInside(fixture, `https://${HOST}/stuck`)).rejects.toThrow();
  expect((await alive).text).toMatch(/^begin\.+end$/);
});

test("connections of a sandbox are capped, and the listener lives on", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({
    allow: [HOST],
    upstreams: [upstream.override(HOST)],
    limits: { connectionsPerSandbox: 20, connectionsPerListener: 16 },
  });
  const port = await fixture.reach(HOST, 443);
  const flood = Array.from({ length: 100 }, () => connect({ host: "127.0.0.1", port }));
  for (const socket of flood) socket.on("error", () => undefined);
  await waitFor(() => flood.filter((socket) => socket.destroyed || socket.readableEnded).length >= 84);
  await waitFor(() => fixture.seen.decisions.some((event) => event.reason.includes("too many connections")));
  for (const socket of flood) socket.destroy();
  await waitFor(async () => (await fetchInside(fixture, `https://${HOST}/`)).status === 200);
});

test("a decompression bomb in a metered response passes and costs no memory", async () => {
  const bomb = gzipSync(Buffer.alloc(256 * 1024 * 1024));
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
    response.end(bomb);
  });
  await using fixture = await gatewayFixture({
    allow: ["api.openai.com"],
    upstreams: [upstream.override("api.openai.com")],
    providers: createProviderTable({ customDomains: [] }),
  });
  const before = process.memoryUsage().rss;
  const answer = await fetchInside(fixture, "https://api.openai.com/v1/chat/completions", { body: '{"model":"m"}' });
  expect(answer.body.equals(bomb)).toBe(true);
  await waitFor(() => fixture.seen.calls.length === 1);
  expect(fixture.seen.calls[0]?.input_tokens).toBeNull();
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
});

test("requests of a sandbox at once are capped over all its connections, so that it cannot take every descriptor", async () => {
  const waiting: ServerResponse[] = [];
  await using upstream = await testUpstream((request, response) => {
    if (request.url === "/now") response.end("ok");
    else waiting.push(response);
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], limits: { exchangesPerSandbox: 8 } });
  await using other = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], limits: { exchangesPerSandbox: 8 } });
  const held = Array.from({ length: 8 }, () => fetchInside(fixture, `https://${HOST}/hold`));
  await waitFor(() => waiting.length === 8);
  const refused = await fetchInside(fixture, `https://${HOST}/now`);
  expect([refused.status, JSON.parse(refused.text)]).toMatchObject([429, { error: "too_many_requests", rule: "protocol" }]);
  expect((await fetchInside(other, `https://${HOST}/now`)).status).toBe(200);
  for (const response of waiting) response.end("late");
  await Promise.all(held);
  expect((await fetchInside(fixture, `https://${HOST}/now`)).status).toBe(200);
});

test("names that nobody answers hold up the sandbox that asks for them, and no other", async () => {
  const asked: string[] = [];
  let running = 0;
  let most = 0;
  const resolve = async (name: string): Promise<readonly string[]> => {
    asked.push(name);
    most = Math.max(most, (running += 1));
    return new Promise(() => undefined);
  };
  await using fixture = await gatewayFixture({
    policy: testPolicy([], { default: "public" }),
    resolve,
    limits: { connectTimeoutMs: 300 },
  });
  const names = Array.from({ length: 5 }, (_, i) => `slow${i}.example.com`);
  for (const name of names) await fixture.reach(name, 80);
  const answers = await Promise.all(names.map((name) => fetchInside(fixture, `http://${name}/`)));
  expect(answers.map(({ status }) => status)).toEqual(names.map(() => 504));
  // those that are never answered keep their turn, and those that gave up are not asked for any more
  expect([asked.length, most]).toEqual([2, 2]);
});
