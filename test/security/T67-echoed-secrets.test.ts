import type { ServerResponse } from "node:http";
import {
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { fetchOver } from "../support/gateway/both-protocols.ts";
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

test("V100: over HTTP/2 a 401 that repeats the key in body and headers is redacted", async () => {
  await using upstream = await testUpstream((_request, response) =>
    response.writeHead(401, { "x-debug": REAL }).end(`{"error":{"message":"Incorrect API key provided: ${REAL}"}}`),
  );
  await using fixture = await gatewayFixture({ allow: [KEY_HOST], upstreams: [upstream.override(KEY_HOST)], secrets: [KEY] });
  const got = await fetchOver("h2", fixture, `https://${KEY_HOST}/`, { headers: BEARER });
  expect([got.status, got.headers["x-debug"], got.text]).toEqual([
    401,
    PLACEHOLDER,
    `{"error":{"message":"Incorrect API key provided: ${PLACEHOLDER}"}}`,
  ]);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(JSON.stringify(fixture.seen)).not.toContain(REAL);
  expect(fixture.seen.findings).toMatchObject(FOUND);
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

// its default takes a minute for some megabytes
const brotli = (bytes: Buffer): Buffer => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });

function inParts(bytes: Buffer, size: number): readonly Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
}

const CODINGS: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
  ["gzip", gzipSync],
  ["x-gzip", gzipSync],
  ["deflate", deflateSync],
  ["deflate", deflateRawSync],
  ["br", brotli],
  ["zstd", zstdCompressSync],
  // many frames, of which several end inside of one piece
  ["zstd", (bytes) => Buffer.concat(inParts(bytes, 50_000).map((part) => zstdCompressSync(part)))],
  ["gzip, br", (bytes) => brotli(gzipSync(bytes))],
];

test.each(CODINGS)("an answer in %s, although none was asked for, is undone, searched, and passed on as it is", async (coding, encode) => {
  // far more than anybody would hold, with the value at its end, in pieces of any size
  const noise = randomBytes(3 * 1024 * 1024).toString("base64");
  const coded = encode(Buffer.from(`${noise} key: ${REAL}\n`));
  const { got, findings, sent } = await echoed(
    (response) => {
      response.writeHead(200, { "content-encoding": coding, "content-length": coded.length, etag: '"x"' });
      for (let at = 0; at < coded.length; at += 70_001) response.write(coded.subarray(at, at + 70_001));
      response.end();
    },
    { headers: { "accept-encoding": "gzip, br" } },
  );
  expect(sentHeader(sent, "accept-encoding")).toEqual(["identity"]);
  expect([got.headers["content-encoding"], got.headers["content-length"], got.headers.etag]).toEqual([undefined, undefined, undefined]);
  expect(got.text).toBe(`${noise} key: ${PLACEHOLDER}\n`);
  expect(findings).toMatchObject(FOUND);
});

test("a compressed answer without a body, or with none to HEAD, ends well", async () => {
  const { got } = await echoed((response) => response.writeHead(200, { "content-encoding": "gzip" }).end());
  expect([got.status, got.text]).toEqual([200, ""]);
  const head = await echoed((response) => response.writeHead(200, { "content-encoding": "br" }).end(), { method: "HEAD" });
  expect([head.got.status, head.got.text]).toEqual([200, ""]);
});

test.each<[string, string, Buffer]>([
  ["in a coding that nobody can undo", "compress", Buffer.from(`x${REAL}x`)],
  ["in more codings than anybody uses", "gzip, gzip, gzip", gzipSync(gzipSync(gzipSync(REAL)))],
  ["that is not what it says it is", "gzip", Buffer.from(`x${REAL}x`)],
  ["that is cut off", "gzip", gzipSync(Buffer.from(REAL.repeat(500))).subarray(0, 60)],
])("an answer %s ends without having been passed on", async (_name, coding, bytes) => {
  await using upstream = await testUpstream((_request, response) => response.writeHead(200, { "content-encoding": coding }).end(bytes));
  await using fixture = await gatewayFixture({ allow: [KEY_HOST], upstreams: [upstream.override(KEY_HOST)], secrets: [KEY] });
  const response = await openInside(fixture, `https://${KEY_HOST}/`, { headers: BEARER });
  const got: Buffer[] = [];
  response.on("data", (chunk: Buffer) => got.push(chunk));
  await expect(once(response, "end", { signal: AbortSignal.timeout(20_000) })).rejects.toThrow("aborted");
  expect(Buffer.concat(got).toString("latin1")).not.toContain(REAL);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({ error_code: "UPSTREAM_ERROR" });
});

test("a compressed stream of events passes one by one while it is searched", async () => {
  for (const [coding, make] of [
    ["gzip", () => createGzip()],
    ["br", () => createBrotliCompress()],
    ["zstd", () => createZstdCompress()],
  ] as const) {
    let send: (text: string) => void = () => undefined;
    await using upstream = await testUpstream((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": coding });
      response.flushHeaders();
      const encoder = make();
      encoder.on("data", (bytes: Buffer) => response.write(bytes));
      send = (text) => encoder.write(text, () => encoder.flush());
      response.on("close", () => encoder.destroy());
    });
    await using fixture = await gatewayFixture({ allow: [KEY_HOST], upstreams: [upstream.override(KEY_HOST)], secrets: [KEY] });
    const response = await openInside(fixture, `https://${KEY_HOST}/`, { headers: BEARER });
    for (const text of ['data: {"token":"s"}\n\n', `data: ${REAL}\n\n`, "data: more\n\n"]) {
      const got = once(response, "data", { signal: AbortSignal.timeout(20_000) });
      send(text);
      expect(String((await got)[0])).toBe(text.replace(REAL, PLACEHOLDER));
    }
    response.destroy();
  }
});

test("an endless compressed answer is held up by a reader that does not read, and memory with it", async () => {
  let sentBytes = 0;
  const block = zstdCompressSync(randomBytes(1024 * 1024));
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(200, { "content-encoding": "zstd" });
    const more = (): void => {
      for (let flowing = true; flowing && sentBytes < 1 << 30; sentBytes += block.length) flowing = response.write(block);
    };
    response.on("drain", more);
    more();
  });
  await using fixture = await gatewayFixture({ allow: [KEY_HOST], upstreams: [upstream.override(KEY_HOST)], secrets: [KEY] });
  const response = await openInside(fixture, `https://${KEY_HOST}/`, { headers: BEARER });
  response.pause();
  let before = -1;
  await waitFor(
    () => {
      const isStill = sentBytes === before;
      before = sentBytes;
      return isStill;
    },
    { intervalMs: 300 },
  );
  expect(sentBytes).toBeLessThan(64 * 1024 * 1024);
  response.destroy();
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
    const got = once(response, "data", { signal: AbortSignal.timeout(20_000) });
    send(text);
    expect(String((await got)[0])).toBe(text.replace(REAL, PLACEHOLDER));
  }
  response.destroy();
});

test.each([false, true])(
  "frames of a WebSocket are searched, also where a value runs over two (%s), and none is compressed",
  async (isCut) => {
    await using upstream = await testUpstream((_request, response) => response.writeHead(426).end());
    const server = new WebSocketServer({ server: upstream.server, perMessageDeflate: true });
    server.on("connection", (socket, request) => {
      const text = `you are ${request.headers.authorization} ${socket.extensions}`;
      if (isCut) {
        socket.send(text.slice(0, 25), { fin: false });
        socket.ping();
        socket.send(text.slice(25), { fin: true });
      } else socket.send(text);
    });
    await using fixture = await gatewayFixture({ allow: [KEY_HOST], upstreams: [upstream.override(KEY_HOST)], secrets: [KEY] });
    const socket = await tlsInside(fixture, KEY_HOST);
    const client = new WebSocket(`wss://${KEY_HOST}/`, { createConnection: () => socket, headers: BEARER, perMessageDeflate: true });
    const [message] = (await once(client, "message", { signal: AbortSignal.timeout(20_000) })) as [Buffer];
    expect(message.toString()).toBe(`you are Bearer ${PLACEHOLDER} `);
    client.terminate();
    server.close();
  },
);
