import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import { once } from "node:events";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import type { GatewaySecret, Judge, JudgedRequest, WantedBodies } from "../../src/egress/gateway.ts";
import type { EgressLimits } from "../../src/egress/options.ts";
import { maskBody } from "../../src/events/redact.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { type Fixture, gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.openai.com";
const URL_OF = `https://${HOST}/v1/chat/completions`;
const KEY = "sk-real-key-0123456789abcdef";

const secret: GatewaySecret = {
  name: "OPENAI_API_KEY",
  placeholder: "placeholder-00000000000000000000",
  value: new Secret(KEY),
  host: HOST,
  header: "authorization",
  scheme: "bearer",
};

type Place = {
  readonly fixture: Fixture;
  readonly judged: JudgedRequest[];
  readonly arrived: Buffer[];
};

async function place(
  stack: AsyncDisposableStack,
  wanted: Partial<WantedBodies>,
  options: {
    readonly answer?: (response: ServerResponse, body: Buffer) => void;
    readonly hook?: Partial<Judge>;
    readonly limits?: Partial<EgressLimits>;
  } = {},
): Promise<Place> {
  const judged: JudgedRequest[] = [];
  const arrived: Buffer[] = [];
  const judge: Judge = {
    isActive: (wanted.before ?? 0) > 0,
    wantsRequests: true,
    wantsBodies: true,
    bodiesFor: () => ({ before: 0, request: 0, response: 0, ...wanted }),
    maskText: maskBody,
    judge: (request) => {
      judged.push(request);
      return Promise.resolve({ verdict: "allow" });
    },
    ...options.hook,
  };
  const upstream = stack.use(
    await testUpstream((request: IncomingMessage, response: ServerResponse) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const body = Buffer.concat(chunks);
        arrived.push(body);
        if (options.answer === undefined) response.end(`got ${body.length}`);
        else options.answer(response, body);
      });
    }),
  );
  const fixture = stack.use(
    await gatewayFixture({
      allow: [HOST],
      providers: createProviderTable({ customDomains: [] }),
      upstreams: [upstream.override(HOST)],
      limits: { inspectBytes: 64 * 1024, ...options.limits },
      secrets: [secret],
      judge,
    }),
  );
  return { fixture, judged, arrived };
}

const chat = (content: string): string => JSON.stringify({ model: "gpt-5-mini", stream: false, messages: [{ role: "user", content }] });

/** A request of the inside whose body the test writes itself. */
async function upload(fixture: Fixture, headers: Record<string, string> = {}): Promise<ClientRequest> {
  return httpsRequest({
    host: "127.0.0.1",
    port: await fixture.reach(HOST, 443),
    servername: HOST,
    ca: fixture.gateway.authorityPem,
    method: "POST",
    path: "/upload",
    headers: { host: HOST, ...headers },
    agent: false,
  });
}

test("whoever decides gets the beginning of the request's body, and what is sent is the same", async () => {
  await using stack = new AsyncDisposableStack();
  const { fixture, judged, arrived } = await place(stack, { before: 1_000 });
  const small = chat("hello");
  // held whole, cut, past what is held for metering, compressed
  const large = chat("x".repeat(5_000));
  const huge = Buffer.alloc(300_000, "y");
  const coded = gzipSync(small);
  for (const [body, headers] of [
    [small, {}],
    [large, {}],
    [huge, {}],
    [coded, { "content-encoding": "gzip" }],
  ] as const)
    expect((await fetchInside(fixture, URL_OF, { body, headers: { "content-type": "application/json", ...headers } })).status).toBe(200);
  expect(judged.map(({ body }) => body)).toEqual([
    { content: small, encoding: "utf8", size: small.length, truncated: false },
    { content: large.slice(0, 1_000), encoding: "utf8", size: large.length, truncated: true },
    { content: "y".repeat(1_000), encoding: "utf8", size: 300_000, truncated: true },
    { content: small, encoding: "utf8", size: coded.length, truncated: false },
  ]);
  expect(arrived.map((body) => body.toString("latin1"))).toEqual([small, large, huge.toString(), coded.toString("latin1")]);
  // metering reads what others read before it
  await waitFor(() => fixture.seen.calls.length === 4);
  expect(fixture.seen.calls.map(({ model }) => model)).toEqual(["gpt-5-mini", "gpt-5-mini", "unknown", "gpt-5-mini"]);
  expect(fixture.seen.exchanges.map(({ bytes_out }) => bytes_out)).toEqual([small.length, large.length, 300_000, coded.length]);
  expect(fixture.seen.exchanges.every((event) => event.request_body === undefined && event.response_body === undefined)).toBe(true);
  expect((await fetchInside(fixture, URL_OF)).status).toBe(200);
  expect(judged.at(-1)?.body).toBeUndefined();
});

test("events carry both bodies, without real values, keys and what was added on the way; the request does not wait", async () => {
  await using stack = new AsyncDisposableStack();
  const { fixture, arrived } = await place(
    stack,
    { request: 400, response: 400 },
    {
      answer: (response) => {
        response.setHeader("content-encoding", "gzip");
        response.end(gzipSync(`{"echo":"Bearer ${KEY}","client_secret":"hush-hush","text":"fine"}`));
      },
    },
  );
  const body = `{"model":"m","api_key":"sk-other-0123456789abcdef","note":"hello"}`;
  const headers = { authorization: `Bearer ${secret.placeholder}`, "content-type": "application/json" };
  const answer = await fetchInside(fixture, URL_OF, { body, headers });
  expect(answer.status).toBe(200);
  expect(arrived[0]?.toString()).toBe(body);
  const event = await waitFor(() => fixture.seen.exchanges[0]);
  expect(event.request_body).toEqual({
    content: '{"model":"m","api_key":"[redacted]","note":"hello"}',
    encoding: "utf8",
    size: body.length,
    truncated: false,
  });
  expect(event.response_body).toMatchObject({ encoding: "utf8", truncated: false });
  expect(event.response_body?.content).toContain('"text":"fine"');
  for (const hidden of [KEY, "hush-hush"]) expect(JSON.stringify(event)).not.toContain(hidden);
});

test("a body that comes slowly is in the event although it was sent piece by piece", async () => {
  await using stack = new AsyncDisposableStack();
  const { fixture, arrived } = await place(stack, { request: 10, response: 10 });
  const request = await upload(fixture);
  request.write("12345");
  await waitFor(() => fixture.seen.decisions.length === 1, { what: "the request to be announced before its body ends" });
  request.write("67890");
  request.end("abcde");
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.resume();
  const event = await waitFor(() => fixture.seen.exchanges[0]);
  expect(event.request_body).toEqual({ content: "1234567890", encoding: "utf8", size: 15, truncated: true });
  expect(event.response_body).toEqual({ content: "got 15", encoding: "utf8", size: 6, truncated: false });
  expect(arrived[0]?.toString()).toBe("1234567890abcde");
});

test("a client that waits for an answer before it ends its body is not held up: what there is in time is shown, and goes on", async () => {
  await using stack = new AsyncDisposableStack();
  const { fixture, judged, arrived } = await place(stack, { before: 100, request: 100 }, { limits: { lookTimeoutMs: 300 } });
  // without a length, with one that is not reached, and without a byte
  const streaming = await upload(fixture);
  streaming.write("first part, ");
  const waiting = await upload(fixture, { "content-length": "20" });
  waiting.write("1234567890");
  const silent = await upload(fixture, { expect: "100-continue" });
  silent.flushHeaders();
  await once(silent, "continue", { signal: AbortSignal.timeout(20_000) });
  const asked = await waitFor(() => judged.length === 3 && judged);
  expect(asked.map(({ isBodyLate }) => isBodyLate)).toEqual([true, true, true]);
  expect(new Set(asked.map(({ body }) => JSON.stringify(body)))).toEqual(
    new Set(
      [
        { content: "first part, ", encoding: "utf8", size: null, truncated: true },
        { content: "1234567890", encoding: "utf8", size: 20, truncated: true },
        { content: "", encoding: "utf8", size: null, truncated: true },
      ].map((body) => JSON.stringify(body)),
    ),
  );
  await waitFor(() => fixture.seen.decisions.filter(({ phase }) => phase === "request").length === 3);
  // listened for together: they come in any order
  const answers = [streaming, waiting, silent].map((request) => once(request, "response") as Promise<[IncomingMessage]>);
  streaming.end("and the rest");
  waiting.end("abcdefghij");
  silent.end("late");
  for (const [response] of await Promise.all(answers)) {
    response.resume();
    expect(response.statusCode).toBe(200);
  }
  expect(new Set(arrived.map(String))).toEqual(new Set(["first part, and the rest", "1234567890abcdefghij", "late"]));
});

test("a denial reaches a client that has not ended its body, and nothing was sent", async () => {
  await using stack = new AsyncDisposableStack();
  const deny = (): ReturnType<Judge["judge"]> => Promise.resolve({ verdict: "deny", rule: "hook:strict", reason: "late" });
  const { fixture, arrived } = await place(stack, { before: 100 }, { limits: { lookTimeoutMs: 300 }, hook: { judge: deny } });
  const request = await upload(fixture);
  request.on("error", () => undefined);
  request.write("begin");
  const [response] = (await once(request, "response", { signal: AbortSignal.timeout(20_000) })) as [IncomingMessage];
  expect(response.statusCode).toBe(403);
  request.destroy();
  expect((await waitFor(() => fixture.seen.exchanges[0])).rule).toBe("hook:strict");
  expect(arrived).toEqual([]);
});

test("a body that cannot be decoded says so to whoever decides", async () => {
  await using stack = new AsyncDisposableStack();
  const { fixture, judged } = await place(stack, { before: 1_000 });
  const gzip = gzipSync(chat("hello"));
  const broken = Buffer.concat([gzip.subarray(0, 12), Buffer.alloc(40, 0xff)]);
  const send = (body: Buffer, coding: string) =>
    fetchInside(fixture, `https://${HOST}/upload`, { body, headers: { "content-encoding": coding } });
  await send(broken, "gzip");
  await send(gzip.subarray(0, -9), "gzip");
  await send(Buffer.from("made up"), "made-up");
  await send(gzip, "gzip");
  expect(judged.map(({ body }) => [body?.undecodable, body?.truncated, body?.size])).toEqual([
    [true, true, broken.length],
    [true, true, gzip.length - 9],
    [true, false, 7],
    [undefined, false, gzip.length],
  ]);
});

test("an announced request carries its body, and one that policy denies is never read", async () => {
  await using stack = new AsyncDisposableStack();
  const { fixture, judged } = await place(stack, { before: 100, request: 5, response: 0 });
  await fetchInside(fixture, URL_OF, { body: "0123456789" });
  const denied = await fetchInside(fixture, "https://elsewhere.example/", { body: "0123456789" });
  expect(denied.status).toBe(403);
  expect(judged).toHaveLength(1);
  const announced = fixture.seen.decisions.filter(({ phase }) => phase === "request");
  expect(announced.map(({ decision, request_body }) => [decision, request_body?.content])).toEqual([
    ["allow", "01234"],
    ["deny", undefined],
  ]);
  const [allowed, refused] = await waitFor(() => fixture.seen.exchanges.length === 2 && fixture.seen.exchanges);
  expect([allowed?.request_body?.content, refused?.request_body]).toEqual(["01234", undefined]);
});

test("a client that leaves while its body is held ends the exchange, and nothing is asked or sent", async () => {
  await using stack = new AsyncDisposableStack();
  const { fixture, judged, arrived } = await place(stack, { before: 100 });
  const request = await upload(fixture, { "content-length": "50" });
  request.on("error", () => undefined);
  request.write("half of it");
  await once(request, "socket");
  await waitFor(() => fixture.seen.exchanges.length === 0 && request.socket?.writableLength === 0);
  request.destroy();
  const event = await waitFor(() => fixture.seen.exchanges[0]);
  expect(event).toMatchObject({ end: "aborted", decision: "allow", status: null });
  expect([judged.length, arrived.length]).toEqual([0, 0]);
});
