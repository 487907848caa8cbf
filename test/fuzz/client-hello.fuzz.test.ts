import fc from "fast-check";
import { expect, test } from "vitest";
import { readClientHello } from "../../src/egress/tls/client-hello.ts";
import { clientHello } from "../support/gateway/hello.ts";
import { fuzz } from "../support/fuzz.ts";
import { cpuMs } from "../support/cpu-time.ts";

test("no bytes make the parser throw, and what it answers is one of its three answers", async () => {
  await fuzz(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.boolean(), (bytes, dressed) => {
      const input = dressed
        ? Buffer.concat([
            Buffer.from([0x16, 3, 1, bytes.length >> 8, bytes.length & 255, 1, 0, 0, Math.max(0, bytes.length - 4) & 255]),
            bytes,
          ])
        : bytes;
      expect(["more", "invalid", "hello"]).toContain(readClientHello(input).kind);
    }),
    { runs: 20_000 },
  );
});

test("a mutated hello never yields a name that is not in its bytes", async () => {
  const mutation = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
  await fuzz(
    fc.property(fc.array(mutation, { maxLength: 8 }), fc.integer({ min: 2, max: 300 }), fc.nat(), (mutations, recordSize, cut) => {
      const bytes = clientHello({ serverName: "name.example.com", alpn: ["h2"], recordSize: 16_384, ech: true });
      for (const [at, value] of mutations) bytes[at % bytes.length] = value;
      const whole = readClientHello(bytes);
      if (whole.kind === "hello" && whole.hello.serverName !== null)
        expect(bytes.includes(Buffer.from(whole.hello.serverName, "latin1"))).toBe(true);
      // a prefix may ask for more or be wrong already, but never say something else than the whole
      const part = readClientHello(bytes.subarray(0, cut % bytes.length));
      if (part.kind === "hello") expect(part).toEqual(whole);
      const split = readClientHello(clientHello({ serverName: "name.example.com", recordSize }));
      expect(split).toMatchObject({ hello: { serverName: "name.example.com" } });
    }),
    { runs: 5_000 },
  );
});

test("16 KB of one-byte records cost little", async () => {
  const bytes = Buffer.concat(Array.from({ length: 3000 }, (_, i) => Buffer.from([0x16, 3, 1, 0, 1, i === 0 ? 1 : 0])));
  const spent = cpuMs(() => {
    for (let i = 0; i < 100; i += 1) readClientHello(bytes);
  });
  expect(spent).toBeLessThan(1000);
});
