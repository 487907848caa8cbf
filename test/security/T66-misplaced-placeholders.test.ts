import { createHash } from "node:crypto";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import type { GatewaySecret } from "../../src/egress/gateway.ts";
import { once } from "node:events";
import { WebSocket, WebSocketServer } from "ws";
import { fetchOver } from "../support/gateway/both-protocols.ts";
import { fetchInside, readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { KEY, KEY_HOST, OTHER_HOST, PLACEHOLDER, REAL } from "../support/gateway/secret.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const OPENAI = "api.openai.com";
/** bytes that no coding makes smaller */
const NOISE = Buffer.concat(Array.from({ length: 12_500 }, (_, i) => createHash("sha256").update(String(i)).digest()));

async function setting(secrets: readonly GatewaySecret[] = [KEY]) {
  const stack = new AsyncDisposableStack();
  let received = "";
  let complete = 0;
  const upstream = stack.use(
    await testUpstream((request, response) => {
      request.on("data", (chunk: Buffer) => (received += chunk.toString("latin1")));
      request.on("error", () => undefined);
      request.on("end", () => {
        complete += 1;
        response.end("ok");
      });
    }),
  );
  const hosts = [KEY_HOST, OTHER_HOST, OPENAI];
  const fixture = stack.use(
    await gatewayFixture({
      allow: hosts,
      upstreams: hosts.map((host) => upstream.override(host)),
      secrets,
    }),
  );
  return { upstream, fixture, received: () => received, complete: () => complete, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

type Setting = Awaited<ReturnType<typeof setting>>;

async function expectBlocked(at: Setting, answer: { readonly status: number; readonly text: string }, finding = "secret_misplaced") {
  expect(answer.status).toBe(403);
  expect(JSON.parse(answer.text)).toMatchObject({ rule: "secret" });
  await waitFor(() => at.fixture.seen.exchanges.length === 1);
  expect(at.fixture.seen.findings).toMatchObject([{ finding, rule: "secret:API_KEY", outcome: "deny" }]);
  expect(at.fixture.seen.exchanges[0]).toMatchObject({ decision: "deny", rule: "secret", secret_injected: false });
  expect(at.complete()).toBe(0);
  expect(JSON.stringify(at.fixture.seen) + at.received()).not.toContain(REAL);
}

const BASE64 = Buffer.from(`{"k":"${PLACEHOLDER}"}`).toString("base64");

test.each<[string, string | Buffer, Record<string, string>]>([
  ["as it is", `{"k":"${PLACEHOLDER}"}`, {}],
  ["in base64", `{"k":"${BASE64}"}`, {}],
  ["percent-encoded", [...PLACEHOLDER].map((c) => `%${c.charCodeAt(0).toString(16)}`).join(""), {}],
  ["in gzip", gzipSync(`{"k":"${PLACEHOLDER}"}`), { "content-encoding": "gzip" }],
  ["in deflate", deflateSync(`{"k":"${PLACEHOLDER}"}`), { "content-encoding": "deflate" }],
  ["in brotli", brotliCompressSync(`{"k":"${PLACEHOLDER}"}`), { "content-encoding": "br" }],
  ["in zstd", zstdCompressSync(`{"k":"${PLACEHOLDER}"}`), { "content-encoding": "zstd" }],
  ["in gzip in gzip", gzipSync(gzipSync(`{"k":"${PLACEHOLDER}"}`)), { "content-encoding": "gzip, gzip" }],
])("a placeholder in a body %s: blocked, and the upstream saw nothing", async (_name, body, headers) => {
  await using at = await setting();
  const answer = await fetchInside(at.fixture, `https://${KEY_HOST}/`, { method: "POST", body, headers });
  await expectBlocked(at, answer);
  expect(at.upstream.connections()).toBe(0);
});

test.each([KEY_HOST, OTHER_HOST])("a large body to %s that ends in a placeholder never arrives whole", async (host) => {
  await using at = await setting();
  const body = Buffer.concat([Buffer.alloc(3_000_000, "x"), Buffer.from(PLACEHOLDER)]);
  const answer = await fetchInside(at.fixture, `https://${host}/`, { method: "POST", body });
  await expectBlocked(at, answer);
  expect(at.received()).not.toContain(PLACEHOLDER);
});

test("in the name of a header, in any case, and in a method: blocked", async () => {
  {
    await using at = await setting();
    const answer = await fetchInside(at.fixture, `https://${OTHER_HOST}/`, { headers: { [`X-${PLACEHOLDER.toUpperCase()}`]: "1" } });
    await expectBlocked(at, answer);
    expect(at.upstream.connections()).toBe(0);
  }
  await using at = await setting();
  await expectBlocked(at, await fetchOver("h2", at.fixture, `https://${OTHER_HOST}/`, { method: PLACEHOLDER }));
  expect(at.upstream.connections()).toBe(0);
});

test("a large compressed body whose placeholder is found late never arrives whole", async () => {
  await using at = await setting();
  const noise = NOISE.subarray(0, 300_000);
  const body = gzipSync(Buffer.concat([noise, Buffer.from(PLACEHOLDER)]));
  expect(body.length).toBeGreaterThan(64 * 1024);
  const answer = await fetchInside(at.fixture, `https://${KEY_HOST}/`, { method: "POST", body, headers: { "content-encoding": "gzip" } });
  await expectBlocked(at, answer);
});

test("a placeholder split over chunks and single bytes is found", async () => {
  await using at = await setting();
  const socket = await tlsInside(at.fixture, OTHER_HOST);
  socket.setNoDelay(true);
  socket.write(`POST / HTTP/1.1\r\nHost: ${OTHER_HOST}\r\nTransfer-Encoding: chunked\r\n\r\n`);
  for (const character of PLACEHOLDER) socket.write(`1\r\n${character}\r\n`);
  socket.write("0\r\n\r\n");
  const text = await readUntilClose(socket, { enough: (so) => so.includes("policy_denied") });
  expect(text).toMatch(/^HTTP\/1\.1 403 /);
  await waitFor(() => at.fixture.seen.findings.length === 1);
  expect(at.received()).not.toContain(PLACEHOLDER);
  expect(at.complete()).toBe(0);
  socket.destroy();
});

test("a large body without one arrives whole, compressed or not", async () => {
  await using at = await setting();
  const noise = NOISE;
  for (const [body, headers] of [
    [noise, {}],
    [gzipSync(noise), { "content-encoding": "gzip" }],
  ] as const) {
    const before = at.received().length;
    expect((await fetchInside(at.fixture, `https://${KEY_HOST}/`, { method: "POST", body, headers })).status).toBe(200);
    expect(Buffer.from(at.received().slice(before), "latin1").equals(body)).toBe(true);
  }
});

const authorization = `Bearer ${PLACEHOLDER}`;

test.each<[string, Partial<GatewaySecret>, string, string]>([
  ["a path that the binding does not name", { paths: ["/v1/**"] }, "GET", `https://${KEY_HOST}/admin/keys`],
  ["a path that is read in two ways", { paths: ["/v1/**"] }, "GET", `https://${KEY_HOST}/v1/a%2f..%2fb`],
  ["a method that it does not name", { methods: ["GET"] }, "DELETE", `https://${KEY_HOST}/v1/x`],
  ["an empty list of paths", { paths: [] }, "GET", `https://${KEY_HOST}/`],
  ["a model provider's administration", { host: OPENAI }, "GET", `https://${OPENAI}/v1/organization/admin_api_keys`],
  ["a secret that was taken away", { isRevoked: true }, "GET", `https://${KEY_HOST}/`],
])("for %s: blocked", async (_name, over, method, url) => {
  await using at = await setting([{ ...KEY, ...over }]);
  const answer = await fetchInside(at.fixture, url, { method, headers: { authorization } });
  await expectBlocked(at, answer, "secret_out_of_scope");
  expect(at.upstream.connections()).toBe(0);
});

test("inside methods and paths the value is put in", async () => {
  await using at = await setting([{ ...KEY, methods: ["POST"], paths: ["/v1/chat/**"] }]);
  const answer = await fetchInside(at.fixture, `https://${KEY_HOST}/v1/chat/completions`, { method: "POST", headers: { authorization } });
  expect(answer.status).toBe(200);
  expect(at.upstream.requests[0]?.rawHeaders).toContain(`Bearer ${REAL}`);
});

test("the query: only in the parameter of a binding that names one, as the whole of it", async () => {
  const bound = { ...KEY, query: "key" };
  for (const [secret, query] of [
    [KEY, `?key=${PLACEHOLDER}`],
    [bound, `?other=${PLACEHOLDER}`],
    [bound, `?key=${PLACEHOLDER}x`],
    [bound, `?key=${PLACEHOLDER}&copy=${PLACEHOLDER}`],
  ] as const) {
    await using at = await setting([secret]);
    await expectBlocked(at, await fetchInside(at.fixture, `https://${KEY_HOST}/${query}`));
    expect(at.upstream.connections()).toBe(0);
  }
  await using at = await setting([bound]);
  await fetchInside(at.fixture, `https://${KEY_HOST}/v1?a=1&key=${PLACEHOLDER}&b=2`);
  expect(at.upstream.requests[0]?.url).toBe(`/v1?a=1&key=${encodeURIComponent(REAL)}&b=2`);
  await waitFor(() => at.fixture.seen.exchanges.length === 1);
  expect(at.fixture.seen.exchanges[0]).toMatchObject({ secret_injected: true });
  expect(JSON.stringify(at.fixture.seen)).not.toContain(encodeURIComponent(REAL));
});

test.each([
  ["in one frame", [PLACEHOLDER]],
  ["cut into fragments", [PLACEHOLDER.slice(0, 7), PLACEHOLDER.slice(7, 20), PLACEHOLDER.slice(20)]],
  ["in base64", [Buffer.from(`{"k":"${PLACEHOLDER}"}`).toString("base64")]],
])("in a WebSocket message %s, to a bound host or another, with compression on offer: closed with a finding", async (_name, pieces) => {
  for (const host of [KEY_HOST, OTHER_HOST]) {
    await using at = await setting();
    const received: string[] = [];
    const server = new WebSocketServer({ server: at.upstream.server, perMessageDeflate: true });
    server.on("connection", (socket) => socket.on("message", (data: Buffer) => received.push(data.toString())));
    const socket = await tlsInside(at.fixture, host);
    const client = new WebSocket(`wss://${host}/`, { createConnection: () => socket, perMessageDeflate: true });
    await once(client, "open", { signal: AbortSignal.timeout(20_000) });
    expect(client.extensions).toBe("");
    client.on("error", () => undefined);
    client.send("before");
    const closed = once(client, "close", { signal: AbortSignal.timeout(20_000) }) as Promise<[number, Buffer]>;
    for (const [i, piece] of pieces.entries()) client.send(piece, { fin: i === pieces.length - 1 });
    const [code, reason] = await closed;
    expect([code, reason.toString()]).toEqual([1008, "the placeholder of API_KEY stands in a message; take it out of what is sent"]);
    await waitFor(() => at.fixture.seen.exchanges.length === 1);
    expect(at.fixture.seen.findings).toMatchObject([{ finding: "secret_misplaced", rule: "secret:API_KEY", outcome: "deny" }]);
    expect(at.fixture.seen.exchanges[0]).toMatchObject({ decision: "deny", rule: "secret", secret_injected: false });
    expect(received).toEqual(["before"]);
    client.terminate();
    server.close();
  }
});

test("in the handshake of a WebSocket it is put in as everywhere, and what follows passes", async () => {
  await using at = await setting([{ ...KEY, query: "key" }]);
  const server = new WebSocketServer({ server: at.upstream.server });
  server.on("connection", (socket, request) =>
    socket.on("message", () =>
      socket.send(String(request.headers.authorization === undefined && request.url === `/live?key=${encodeURIComponent(REAL)}`)),
    ),
  );
  const socket = await tlsInside(at.fixture, KEY_HOST);
  const client = new WebSocket(`wss://${KEY_HOST}/live?key=${PLACEHOLDER}`, { createConnection: () => socket });
  await once(client, "open", { signal: AbortSignal.timeout(20_000) });
  const answered = once(client, "message", { signal: AbortSignal.timeout(20_000) });
  client.send(Buffer.alloc(200_000, "x"));
  expect(String((await answered)[0])).toBe("true");
  client.terminate();
  server.close();
});

test("a refusal says which variable it is, why, and what to do", async () => {
  await using at = await setting();
  const answer = await fetchInside(at.fixture, `https://${KEY_HOST}/`, { method: "POST", body: `API_KEY=${PLACEHOLDER}` });
  const { reason, hint } = JSON.parse(answer.text) as { reason: string; hint: string };
  expect(reason).toContain("the placeholder of API_KEY stands in the request body");
  expect(reason).toContain(`is put into the header authorization for ${KEY_HOST} alone`);
  expect(hint).toMatch(/take it out of what is sent[\s\S]*begin a new conversation/);
});

test("a request that two bindings of one secret fit is refused", async () => {
  await using at = await setting([KEY, { ...KEY, host: "*.example.com", header: "x-api-key", scheme: "raw" }]);
  const answer = await fetchInside(at.fixture, `https://${KEY_HOST}/`, { headers: { authorization } });
  await expectBlocked(at, answer);
  expect(answer.text).toContain("two of its bindings fit");
  expect(at.upstream.connections()).toBe(0);
});
