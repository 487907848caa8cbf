import { expect, test } from "vitest";
import { readClientHello } from "./client-hello.ts";
import { clientHello } from "../../../test/support/gateway/hello.ts";

test("name, protocols, version and ECH are read", () => {
  const read = readClientHello(clientHello({ serverName: "a.example.com", alpn: ["h2", "http/1.1"], ech: true }));
  expect(read).toEqual({ kind: "hello", hello: { serverName: "a.example.com", alpn: ["h2", "http/1.1"], maxVersion: 0x0304, ech: true } });
});

test("every prefix of a hello asks for more, whatever the records", () => {
  for (const recordSize of [1, 7, 100, 16_384]) {
    const bytes = clientHello({ serverName: "a.example.com", recordSize: Math.max(recordSize, 2) });
    for (let at = 0; at < bytes.length; at += 1) expect(readClientHello(bytes.subarray(0, at)).kind).toBe("more");
    expect(readClientHello(bytes)).toMatchObject({ kind: "hello", hello: { serverName: "a.example.com" } });
  }
});

test("bytes after the hello do not matter", () => {
  const bytes = Buffer.concat([clientHello({ serverName: "a.example.com" }), Buffer.from([0x17, 3, 3, 0, 1, 0])]);
  expect(readClientHello(bytes).kind).toBe("hello");
});

test("a hello without supported_versions has the version of its head", () => {
  expect(readClientHello(clientHello({ version: 0x0301, supportedVersions: false }))).toMatchObject({
    hello: { maxVersion: 0x0301, serverName: null },
  });
});

test.each([
  ["not a handshake", Buffer.from([0x17, 3, 3, 0, 1, 0])],
  ["not TLS", Buffer.from([0x16, 2, 0, 0, 1, 0])],
  ["an empty record", Buffer.from([0x16, 3, 1, 0, 0])],
  ["a record past 16 KB", Buffer.from([0x16, 3, 1, 0x40, 0x01])],
  ["another message first", Buffer.from([0x16, 3, 1, 0, 4, 2, 0, 0, 1])],
  ["a hello past 16 KB", Buffer.from([0x16, 3, 1, 0, 4, 1, 0, 0x50, 0])],
])("%s is invalid at once", (_name, bytes) => {
  expect(readClientHello(bytes).kind).toBe("invalid");
});

test("the same extension twice, and two names in one, are invalid", () => {
  const once = clientHello({ serverName: "a.example.com" });
  const body = once.subarray(9);
  const sni = body.subarray(body.length - 22);
  const twice = Buffer.concat([body, sni]);
  const extensionsAt = 2 + 32 + 1 + 32 + 2 + 4 + 2;
  twice.writeUInt16BE(body.readUInt16BE(extensionsAt) + sni.length, extensionsAt);
  const message = Buffer.concat([Buffer.from([0x16, 3, 1, 0, 0, 1, 0, 0, 0]), twice]);
  message.writeUInt16BE(twice.length + 4, 3);
  message.writeUInt16BE(twice.length, 7);
  expect(readClientHello(message)).toEqual({ kind: "invalid", reason: "an extension stands twice" });
});
