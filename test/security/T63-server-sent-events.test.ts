import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { EGRESS_LIMITS } from "../../src/app/egress/lazy-gateway.ts";
import { openOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { testAuthority } from "../support/gateway/certificates.ts";
import { openInside, readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOST = "allowed.example.com";
const PINNED = "pinned.example.com";

test("events arrive within 50 ms of being sent (median of 20), each by itself", async () => {
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    let left = 20;
    const send = (): void => {
      response.write(`data: ${performance.now()}\n\n`);
      left -= 1;
      if (left > 0) setTimeout(send, 10);
      else response.end();
    };
    setTimeout(send, 10);
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/`);
  const delays: number[] = [];
  for await (const chunk of response) {
    const now = performance.now();
    for (const match of String(chunk).matchAll(/data: ([\d.]+)/g)) delays.push(now - Number(match[1]));
  }
  expect(delays).toHaveLength(20);
  expect(delays.sort((a, b) => a - b)[10]).toBeLessThan(50);
});

test("the head of a stream arrives before its first event", async () => {
  let send: () => void = () => undefined;
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    send = () => response.end("data: late\n\n");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/`);
  expect(response.statusCode).toBe(200);
  send();
  let text = "";
  for await (const chunk of response) text += String(chunk);
  expect(text).toBe("data: late\n\n");
});

/** ten minutes and a half with AGENTKERNEL_LONG, past Node's and undici's own limits */
const IDLE_MS = process.env["AGENTKERNEL_LONG"] ? 630_000 : 3_000;

test("what stays silent for a long time goes on: streams, an answer that is long in coming, a WebSocket and a tunnel", {
  timeout: IDLE_MS + 60_000,
}, async () => {
  const later = (work: () => void): void => void setTimeout(work, IDLE_MS);
  const authority = testAuthority();
  await using upstream = await testUpstream(
    (request, response) => {
      if (request.url === "/thinks") return later(() => response.end("at last"));
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: first\n\n");
      later(() => response.end("data: last\n\n"));
    },
    { authority },
  );
  new WebSocketServer({ server: upstream.server }).on("connection", (socket) => later(() => socket.send("last")));
  const rule = (host: string, effect: "allow" | "tunnel") => ({ id: host, host, effect, origin: "operator" as const });
  await using fixture = await gatewayFixture({
    policy: testPolicy([], { rules: [rule(HOST, "allow"), rule(PINNED, "tunnel")] }),
    upstreams: [upstream.override(HOST), upstream.override(PINNED)],
    limits: EGRESS_LIMITS,
  });
  const within = { timeoutMs: IDLE_MS + 30_000 };
  const get = (path: string, host: string): string => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  const streams = PROTOCOLS.map(async (protocol) => {
    const { body } = await openOver(protocol, fixture, `https://${HOST}/stream`);
    let text = "";
    for await (const chunk of body) text += String(chunk);
    return text;
  });
  const thinking = await tlsInside(fixture, HOST);
  thinking.write(get("/thinks", HOST));
  const thought = readUntilClose(thinking, within);
  const tunnel = connectTls({
    host: "127.0.0.1",
    port: await fixture.reach(PINNED, 443),
    servername: PINNED,
    ca: authority.ca,
    checkServerIdentity: () => undefined,
  });
  tunnel.write(get("/stream", PINNED));
  const tunnelled = readUntilClose(tunnel, within);
  const carrier = await tlsInside(fixture, HOST);
  const client = new WebSocket(`wss://${HOST}/live`, { createConnection: () => carrier });
  const message = once(client, "message", { signal: AbortSignal.timeout(within.timeoutMs) });
  const events = "data: first\n\ndata: last\n\n";
  expect(await Promise.all(streams)).toEqual([events, events]);
  expect(await thought).toMatch(/^HTTP\/1\.1 200 [\s\S]*at last/);
  expect(await tunnelled).toContain("data: last");
  expect(String((await message)[0])).toBe("last");
  client.terminate();
});
