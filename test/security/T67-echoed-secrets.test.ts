import type { ServerResponse } from "node:http";
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib";
import { once } from "node:events";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { fetchInside, openInside, tlsInside, type Ask } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { KEY, KEY_HOST, PLACEHOLDER, REAL, sentHeader } from "../support/gateway/secret.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const BEARER = { authorization: `Bearer ${PLACEHOLDER}` };

async function echoed(answer: (response: ServerResponse) => void, ask: Ask = {}) {
  await using upstream = await testUpstream((_request, response) => answer(response));
  await using fixture = await gatewayFixture({ allow: [KEY_HOST], upstreams: [upstream.override(KEY_HOST)], secrets: [KEY] });
  const got = await fetchInside(fixture, `https://${KEY_HOST}/`, { ...ask, headers: { ...BEARER, ...ask.headers } });
  await waitFor(() => fixture.seen.exchanges.length === 1);
  const everything = got.body.toString("latin1") + got.rawHeaders.join("\n") + JSON.stringify(got.trailers) + JSON.stringify(fixture.seen);
  for (const form of [REAL, encodeURIComponent(REAL), REAL.replaceAll("/", "\\/"), Buffer.from(REAL).toString("base64").slice(0, 48)])
    expect(everything).not.toContain(form);
  return { got, findings: fixture.seen.findings, sent: upstream.requests[0]?.rawHeaders };
}

const FOUND = [{ finding: "secret_echoed", outcome: "info", rule: "secret:API_KEY" }];

test.each<[string, string, string]>([
  ["as it is", REAL, PLACEHOLDER],
  ["in base64", Buffer.from(`me:${REAL}`).toString("base64"), ""],
  ["URL-encoded", encodeURIComponent(REAL), ""],
  ["in JSON with escaped slashes", REAL.replaceAll("/", "\\/"), ""],
])("V100: a body that repeats the value %s is redacted, at its length", async (_name, form, expected) => {
  const text = `{"headers":{"Authorization":"${form}"}}`;
  const { got, findings } = await echoed((response) => response.writeHead(200, { "content-length": text.length }).end(text));
  expect([got.status, got.body.length]).toEqual([200, text.length]);
  if (expected !== "") expect(got.text).toBe(`{"headers":{"Authorization":"${expected}"}}`);
  expect(findings).toMatchObject(FOUND);
});

test("headers, reason phrase and trailers are redacted", async () => {
  const { got, findings } = await echoed((response) => {
    response.writeHead(401, `bad key ${REAL}`, {
      "x-debug": `got Bearer ${REAL}`,
      "set-cookie": [`a=${encodeURIComponent(REAL)}`],
      trailer: "x-last",
    });
    response.write("x");
    response.addTrailers({ "x-last": REAL });
    response.end();
  });
  expect(got.headers["x-debug"]).toBe(`got Bearer ${PLACEHOLDER}`);
  expect(got.trailers["x-last"]).toBe(PLACEHOLDER);
  expect(findings).toMatchObject(FOUND);
});

test("a value that comes byte by byte is redacted", async () => {
  const { got, findings } = await echoed((response) => {
    response.flushHeaders();
    let at = 0;
    const next = (): void => {
      if (at === REAL.length) return void response.end("!");
      response.write(REAL[at]);
      at += 1;
      setImmediate(next);
    };
    next();
  });
  expect(got.text).toBe(`${PLACEHOLDER}!`);
  expect(findings).toMatchObject(FOUND);
});

test("an answer that is compressed although it was asked not to be is looked into", async () => {
  for (const [coding, encode, decode] of [
    ["gzip", gzipSync, gunzipSync],
    ["br", brotliCompressSync, brotliDecompressSync],
  ] as const) {
    const coded = encode(`key: ${REAL}\n`);
    const { got, findings, sent } = await echoed(
      (response) => response.writeHead(200, { "content-encoding": coding, "content-length": coded.length }).end(coded),
      { headers: { "accept-encoding": "gzip, br" } },
    );
    expect(sentHeader(sent, "accept-encoding")).toEqual(["identity"]);
    expect(decode(got.body).toString()).toBe(`key: ${PLACEHOLDER}\n`);
    expect(findings).toMatchObject(FOUND);
  }
});

test("ranges, which would give out a value piece by piece, are not asked for", async () => {
  const { sent } = await echoed((response) => response.end("whole"), { headers: { range: "bytes=0-9", "if-range": '"x"' } });
  expect([sentHeader(sent, "range"), sentHeader(sent, "if-range")]).toEqual([[], []]);
});

test("without a secret in the request nothing of this happens", async () => {
  await using upstream = await testUpstream((_request, response) => response.end(`not ours: ${REAL}`));
  await using fixture = await gatewayFixture({ allow: [KEY_HOST], upstreams: [upstream.override(KEY_HOST)], secrets: [KEY] });
  const got = await fetchInside(fixture, `https://${KEY_HOST}/`, { headers: { range: "bytes=0-9", "accept-encoding": "gzip" } });
  expect(got.text).toContain(REAL);
  expect(sentHeader(upstream.requests[0]?.rawHeaders, "range")).toEqual(["bytes=0-9"]);
  expect(sentHeader(upstream.requests[0]?.rawHeaders, "accept-encoding")).toEqual(["gzip"]);
});

test("events pass one by one while the answer is searched", async () => {
  let send: (text: string) => void = () => undefined;
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    send = (text) => response.write(text);
  });
  await using fixture = await gatewayFixture({ allow: [KEY_HOST], upstreams: [upstream.override(KEY_HOST)], secrets: [KEY] });
  const response = await openInside(fixture, `https://${KEY_HOST}/`, { headers: BEARER });
  for (const text of ['data: {"token":"s"}\n\n', "data: sk-proj-\n\n", `data: ${REAL}\n\n`]) {
    const got = once(response, "data", { signal: AbortSignal.timeout(2_000) });
    send(text);
    expect(String((await got)[0])).toBe(text.replace(REAL, PLACEHOLDER));
  }
  response.destroy();
});

test("frames of a WebSocket are searched, and none is compressed", async () => {
  await using upstream = await testUpstream((_request, response) => response.writeHead(426).end());
  const server = new WebSocketServer({ server: upstream.server, perMessageDeflate: true });
  server.on("connection", (socket, request) => socket.send(`you are ${request.headers.authorization} ${socket.extensions}`));
  await using fixture = await gatewayFixture({ allow: [KEY_HOST], upstreams: [upstream.override(KEY_HOST)], secrets: [KEY] });
  const socket = await tlsInside(fixture, KEY_HOST);
  const client = new WebSocket(`wss://${KEY_HOST}/`, { createConnection: () => socket, headers: BEARER, perMessageDeflate: true });
  const [message] = (await once(client, "message", { signal: AbortSignal.timeout(3_000) })) as [Buffer];
  expect(message.toString()).toBe(`you are Bearer ${PLACEHOLDER} `);
  client.terminate();
  server.close();
});
