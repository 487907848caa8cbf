import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { Duplex } from "node:stream";
import { connect } from "node:tls";
import { expect, test } from "vitest";
import { readUntilClose, tcpInside, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { clientHello } from "../support/gateway/hello.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "allowed.example.com";

test("V94: TLS without a name is refused, to a name and to an address", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST] });
  for (const destination of [HOST, "93.184.216.34"]) {
    const socket = connect({ host: "127.0.0.1", port: await fixture.reach(destination, 443), servername: "", rejectUnauthorized: false });
    const [error] = (await once(socket, "error")) as [Error];
    expect(error.message).toMatch(/disconnected|reset|ECONNRESET/);
  }
  await waitFor(() => fixture.seen.decisions.length === 2);
  expect(fixture.seen.decisions.map((event) => event.protocol)).toEqual(["tls", "tls"]);
  expect(await denials(fixture, ["protocol", "default"], 2)).toMatchObject([{ host: HOST }, { host: "93.184.216.34", rule: "default" }]);
});

test("TLS to an address passes with a rule for that address, under a certificate for it", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("by address"));
  await using fixture = await gatewayFixture({ allow: ["93.184.216.34"], upstreams: [upstream.override("93.184.216.34")] });
  const socket = connect({
    host: "127.0.0.1",
    port: await fixture.reach("93.184.216.34", 443),
    servername: "",
    ca: fixture.gateway.authorityPem,
    checkServerIdentity: () => undefined,
  });
  await once(socket, "secureConnect");
  expect(socket.getPeerCertificate().subjectaltname).toBe("IP Address:93.184.216.34");
  socket.write("GET / HTTP/1.1\r\nHost: 93.184.216.34\r\nConnection: close\r\n\r\n");
  expect(await readUntilClose(socket)).toContain("by address");
});

test("TLS 1.0 and 1.1 are refused and recorded", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST] });
  for (const version of [0x0301, 0x0302]) {
    const socket = await tcpInside(fixture, HOST, 443);
    socket.write(clientHello({ serverName: HOST, version, supportedVersions: false }));
    await once(socket, "close");
  }
  await waitFor(() => fixture.seen.decisions.length > 0);
  expect(fixture.seen.decisions[0]?.reason).toContain("below 1.2");
});

test("an address as the ClientHello's name, a malformed hello and a flood of tiny records end the connection", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST] });
  const tiny = clientHello({ serverName: HOST, padding: 400, recordSize: 1 });
  const broken = Buffer.from(clientHello({ serverName: HOST }));
  broken.writeUInt16BE(0xffff, 5 + 4 + 2 + 32 + 1 + 32);
  for (const bytes of [clientHello({ serverName: "127.0.0.1" }), clientHello({ serverName: "a\0b" }), broken, tiny]) {
    const socket = await tcpInside(fixture, HOST, 443);
    socket.on("error", () => undefined);
    socket.write(bytes);
    await once(socket, "close", { signal: AbortSignal.timeout(20_000) });
  }
  expect((await denials(fixture, "protocol", 4)).map(({ reason }) => reason)).toEqual([
    "the name in the ClientHello is an address (RFC 6066 §3)",
    expect.stringContaining("is not a host name"),
    "the ClientHello is malformed",
    "the ClientHello is split into too many records",
  ]);
});

test("V94: a hello of 12 KB, split over segments and records, is answered", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const hello = clientHello({ serverName: HOST, padding: 12_000, recordSize: 700, ech: true });
  const socket = await tcpInside(fixture, HOST, 443);
  for (let at = 0; at < hello.length; at += 1400) socket.write(hello.subarray(at, at + 1400));
  const [first] = (await once(socket, "data", { signal: AbortSignal.timeout(20_000) })) as [Buffer];
  // the gateway takes part in the handshake: a ServerHello, or the alert of a server that finds no key share in a made-up hello
  expect([0x16, 0x15]).toContain(first[0]);
  socket.destroy();
});

test("V94: a hello of 1.8 KB in three segments gets a certificate for its own name", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const target = connectTcp({ host: "127.0.0.1", port: await fixture.reach(HOST, 443), noDelay: true });
  const segments: number[] = [];
  // what the client writes first is its hello: its parts go out one after the other
  const carrier = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      if (segments.length > 0) return void target.write(chunk, () => done());
      const size = Math.ceil(chunk.length / 3);
      for (let at = 0; at < chunk.length; at += size) segments.push(Math.min(size, chunk.length - at));
      const send = (at: number): void => {
        if (at >= chunk.length) return done();
        target.write(chunk.subarray(at, at + size), () => setImmediate(send, at + size));
      };
      send(0);
    },
    destroy: (error, done) => {
      target.destroy();
      done(error);
    },
  });
  target.on("data", (chunk: Buffer) => carrier.push(chunk));
  target.on("close", () => carrier.push(null));
  const socket = connect({
    socket: carrier,
    servername: HOST,
    ca: fixture.gateway.authorityPem,
    ALPNProtocols: ["http/1.1", ...Array.from({ length: 30 }, (_, i) => `padding-${String(i).padStart(2, "0")}-${"x".repeat(40)}`)],
  });
  await once(socket, "secureConnect", { signal: AbortSignal.timeout(20_000) });
  expect(segments).toHaveLength(3);
  expect(segments.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(1_800);
  expect([socket.authorized, socket.getPeerCertificate().subjectaltname]).toEqual([true, `DNS:${HOST}`]);
  socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  expect(await readUntilClose(socket, { enough: (text) => text.endsWith("ok") })).toMatch(/^HTTP\/1\.1 200 /);
});

test("a name that arrives byte by byte is read like any other", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  // a relay that splits everything the client sends
  const { createServer } = await import("node:net");
  const target = await fixture.reach(HOST, 443);
  const relay = createServer((client) => {
    const onward = connectTcp({ host: "127.0.0.1", port: target, noDelay: true });
    client.on("data", (chunk: Buffer) => {
      for (let i = 0; i < chunk.length; i += 3) onward.write(chunk.subarray(i, i + 3));
    });
    onward.on("data", (chunk) => client.write(chunk));
    client.on("close", () => onward.destroy());
    onward.on("close", () => client.destroy());
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  const address = relay.address();
  const socket = connect({
    host: "127.0.0.1",
    port: typeof address === "object" && address !== null ? address.port : 0,
    servername: HOST,
    ca: fixture.gateway.authorityPem,
  });
  socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  expect(await readUntilClose(socket)).toContain("ok");
  relay.close();
});

test("plaintext on port 443 gets a readable 400; bytes of neither kind get nothing", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST] });
  const plain = await tcpInside(fixture, HOST, 443);
  plain.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  expect(await readUntilClose(plain)).toMatch(/^HTTP\/1\.1 400 [\s\S]*use https/);
  for (const bytes of ["SSH-2.0-OpenSSH_9.2\r\n", "\x00\x01\x02", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]) {
    const socket = await tcpInside(fixture, HOST, 80);
    socket.write(bytes);
    expect(await readUntilClose(socket)).toBe("");
  }
  expect((await denials(fixture, "protocol", 3)).map(({ reason }) => reason)).toEqual([
    "this is port 443, and what came is not TLS",
    "the first bytes are neither HTTP nor TLS",
    "HTTP/2 without TLS is not spoken here",
  ]);
});

test("the certificate names the host that was asked for, denied hosts included", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST] });
  const socket = await tlsInside(fixture, "denied.example.com");
  expect(socket.getPeerCertificate().subjectaltname).toBe("DNS:denied.example.com");
  socket.destroy();
});
