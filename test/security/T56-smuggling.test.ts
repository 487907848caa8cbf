import { once, type EventEmitter } from "node:events";
import { createServer } from "node:http2";
import { connect, type AddressInfo } from "node:net";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { insideSandbox, statusesOf } from "../support/gateway/in-sandbox.ts";
import { requires } from "../support/requires.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "allowed.example.com";
const SMUGGLED = `GET /smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;

const HOSTILE: readonly (readonly [string, string])[] = [
  [
    "Content-Length and Transfer-Encoding",
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${SMUGGLED.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  [
    "Transfer-Encoding: chunked, identity",
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  [
    "Transfer-Encoding: identity, chunked",
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  ["Transfer-Encoding: gzip, chunked", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  [
    "two Transfer-Encodings",
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  ["Transfer-Encoding: xchunked", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ["a space before the colon", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ["two Content-Lengths", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
  ["Content-Length: +5", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: +5\r\n\r\nabcde${SMUGGLED}`],
  ["Content-Length: 5, 5", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5, 5\r\n\r\nabcde${SMUGGLED}`],
  ["a folded header", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-A: b\r\n Transfer-Encoding: chunked\r\n\r\n`],
  ["bare LF after a header", `GET / HTTP/1.1\r\nHost: ${HOST}\nX-A: b\r\n\r\n`],
  ["bare LF throughout", `GET / HTTP/1.1\nHost: ${HOST}\n\n`],
  ["bare CR in a value", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-A: a\rX-B: b\r\n\r\n`],
  ["NUL in a value", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-A: a\0b\r\n\r\n`],
  ["a chunk size with prefix", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n`],
  ["bare LF after a chunk size", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n`],
  ["bare LF in a chunk extension", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n`],
  ["Transfer-Encoding in HTTP/1.0", `POST / HTTP/1.0\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["HTTP/2.0 in clear", `GET / HTTP/2.0\r\nHost: ${HOST}\r\n\r\n`],
  ["HTTP/0.9", "GET /\r\n\r\n"],
  ["two Hosts", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nHost: evil.example.com\r\n\r\n`],
  ["no Host", "GET / HTTP/1.1\r\n\r\n"],
  ["Connection that names Host", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: host\r\n\r\n`],
  ["Connection that names Content-Length", `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1\r\nConnection: content-length\r\n\r\na`],
];

test.each(HOSTILE)("V91: %s is refused and never forwarded", async (_name, bytes) => {
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    response.end("reached");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST);
  socket.write(Buffer.from(bytes, "latin1"));
  const text = await readUntilClose(socket);
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect(text).not.toContain("reached");
  expect(upstream.requests.filter((request) => request.url === "/smuggled")).toEqual([]);
  // a fault within a body comes after its head was judged; no second request may ever come of it
  expect(upstream.requests.length).toBeLessThanOrEqual(1);
  // by a record of its own, or by that of the exchange whose body it was
  await waitFor(() => fixture.seen.decisions.length + fixture.seen.exchanges.length > 0);
  if (fixture.seen.exchanges.every(({ decision }) => decision === "deny")) await denials(fixture, "protocol");
});

test("V91: none of them smuggles anything from inside a sandbox, and each is in the audit", requires("bwrap", "python3"), async () => {
  await using upstream = await testUpstream((request, response) => {
    request.resume();
    response.end("reached");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using inside = await insideSandbox(fixture);
  const replies = await inside.send(HOSTILE.map(([, bytes]) => ({ to: HOST, sni: HOST, bytes })));
  expect(statusesOf(replies)).toEqual(HOSTILE.map(() => "400"));
  expect(replies.filter((reply) => reply.includes("reached"))).toEqual([]);
  expect(upstream.requests.filter(({ url }) => url === "/smuggled")).toEqual([]);
  expect((await denials(fixture, "protocol")).length).toBeGreaterThan(5);
});

/** A header field as HPACK writes it without any of its tables. */
function literal(name: string, value: string): Buffer {
  const [key, text] = [Buffer.from(name, "latin1"), Buffer.from(value, "latin1")];
  return Buffer.concat([Buffer.from([0, key.length]), key, Buffer.from([text.length]), text]);
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** `GET https://HOST/` and one more header field, byte by byte as no HTTP/2 library would write it. */
function rawHttp2(name: string, value: string, isSent = true): Buffer {
  const field = isSent ? literal(name, value) : Buffer.alloc(0);
  const fields = Buffer.concat([Buffer.from([0x82, 0x87, 0x84]), literal(":authority", HOST), field]);
  return Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, Buffer.alloc(0)), frame(1, 5, 1, fields)]);
}

test("V91: a plain field written by hand passes over HTTP/2, so that the ones below are refused for what they are", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("reached"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST, { alpn: ["h2"] });
  socket.write(rawHttp2("x-a", "b"));
  expect(await readUntilClose(socket, { enough: (text) => text.includes("reached") })).toContain("reached");
  socket.destroy();
});

test.each([
  ["a name in capitals", "X-A", "b"],
  ["Transfer-Encoding", "transfer-encoding", "chunked"],
  ["Connection", "connection", "close"],
  ["CRLF in :path", ":path", "/ HTTP/1.1\r\nHost: evil.example.com"],
])("V91: HTTP/2 with %s is refused and never forwarded", async (_name, name, value) => {
  await using upstream = await testUpstream((_request, response) => response.end("reached"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST, { alpn: ["h2"] });
  socket.write(rawHttp2(name, value));
  const text = await readUntilClose(socket, { enough: isReset });
  expect(isReset(text)).toBe(true);
  expect(text).not.toContain("reached");
  expect(upstream.requests).toEqual([]);
  socket.destroy();
});

/** RST_STREAM for stream 1, or GOAWAY. */
function isReset(text: string): boolean {
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    const type = bytes.readUInt8(at + 3);
    if (type === 7 || (type === 3 && bytes.readUInt32BE(at + 5) === 1)) return true;
  }
  return false;
}

test.each([
  ["CRLF in a value", "x-a", "b\r\nx-smuggled: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1"],
  ["LF in a value", "x-a", "b\nx-smuggled: 1"],
  ["CR in a value", "x-a", "b\rx-smuggled: 1"],
  ["NUL in a value", "x-a", "b\0x-smuggled: 1"],
  ["CRLF in a name", "x-a\r\nx-smuggled", "1"],
  ["a colon in a name", "x-a: b\r\nx-smuggled", "1"],
])("V91: an HTTP/2 field with %s never leaves, in no form; its request is one request", async (_name, name, value) => {
  await using upstream = await testUpstream((_request, response) => response.end("reached"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST, { alpn: ["h2"] });
  socket.write(rawHttp2(name, value));
  // RFC 9113 (8.2.1) would refuse the request; nghttp2 takes the field away and nobody hears of it (the next test); what is left is ordinary
  await readUntilClose(socket, { enough: (text) => isReset(text) || text.includes("reached") });
  expect(upstream.requests.map(({ url }) => url)).toEqual(["/"]);
  const fields = upstream.requests.flatMap(({ rawHeaders }) => rawHeaders).join("\n");
  expect(fields).not.toMatch(/x-a|smuggled|transfer-encoding/i);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  socket.destroy();
});

test("V91: Node says nothing of an HTTP/2 field that it takes away: whoever serves it cannot know (when this fails, refuse the request)", async () => {
  const [without, broken] = [await toldAbout(undefined), await toldAbout("b\r\nx-smuggled: 1")];
  expect(without.join("\n")).toContain(`":authority","${HOST}"`);
  expect((await toldAbout("b")).join("\n")).toContain('"x-a","b"');
  expect(broken).toEqual(without);
});

/** All that Node's server tells of a request with the field `x-a`: its headers, and every event and state of server, session and stream. */
async function toldAbout(value: string | undefined): Promise<readonly string[]> {
  const told: string[] = [];
  const listen = (name: string, source: EventEmitter): void => {
    const emit = source.emit.bind(source);
    source.emit = (event: string | symbol, ...values: unknown[]) => {
      told.push(`${name}: ${String(event)}`);
      return emit(event, ...values);
    };
  };
  const server = createServer({ strictFieldWhitespaceValidation: true });
  listen("server", server);
  server.on("session", (session) => listen("session", session));
  server.on("stream", (stream, _headers, flags, raw) => {
    listen("stream", stream);
    told.push(JSON.stringify([raw, flags, stream.state, stream.session?.state]));
    stream.respond({ ":status": 200 }, { endStream: true });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  try {
    socket.write(rawHttp2("x-a", value ?? "", value !== undefined));
    await waitFor(() => told.includes("stream: close"));
  } finally {
    socket.destroy();
    await promisify(server.close.bind(server))();
  }
  // what follows is the end of the connection, which is ours
  return told.slice(0, told.indexOf("stream: close") + 1);
}

test("nothing that comes after a refused head is a request, though its sender framed it so", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("reached"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  for (const framing of ["Transfer-Encoding:,chunked", "Connection: host\r\nContent-Length: 5", "Content-Length: 5\r\nExpect: x"]) {
    const socket = await tlsInside(fixture, HOST);
    const body = framing.includes("chunked") ? "5\r\nhello\r\n0\r\n\r\n" : "hello";
    socket.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\n${framing}\r\n\r\n${body}${SMUGGLED}`);
    expect(await readUntilClose(socket), framing).toMatch(/^HTTP\/1\.1 4(?:00|17) /);
  }
  expect(await denials(fixture, "protocol", 3)).toHaveLength(3);
  expect(upstream.requests).toEqual([]);
});

test("V85: chunk extensions are dropped, and trailers with credentials do not travel", async () => {
  let body = "";
  let trailers: NodeJS.Dict<string> = {};
  await using upstream = await testUpstream((request, response) => {
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      ({ trailers } = request);
      response.end("ok");
    });
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST);
  socket.write(
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4;evil="x"\r\nbody\r\n0\r\nAuthorization: Bearer x\r\n\r\n`,
  );
  expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 200 /);
  expect(body).toBe("body");
  expect(trailers).toEqual({});
});

test("a head past the limit is refused", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("reached"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], limits: { headBytes: 16 * 1024 } });
  const socket = await tlsInside(fixture, HOST);
  socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-Big: ${"a".repeat(20_000)}\r\n\r\n`);
  expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 431 /);
  expect(upstream.requests).toHaveLength(0);
});
