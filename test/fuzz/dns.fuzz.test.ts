import fc from "fast-check";
import { expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { readQuery, writeAnswer } from "../../src/egress/accept/dns-message.ts";
import { SyntheticResolver } from "../../src/egress/accept/dns.ts";
import { SyntheticAddresses } from "../../src/egress/accept/synthetic.ts";
import { dnsQuery } from "../support/gateway/fixture.ts";
import { fuzz } from "../support/fuzz.ts";
import { cpuMs } from "../support/cpu-time.ts";

test("no bytes make the parser throw; a question that was read stands unchanged in its answer", async () => {
  await fuzz(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
      fc.boolean(),
      (noise, mutations, dressed) => {
        const bytes = dressed ? Buffer.concat([dnsQuery("some.name.example.com"), noise]) : Buffer.from(noise);
        if (bytes.length > 0) for (const [at, value] of mutations) bytes[at % bytes.length] = value;
        const read = readQuery(bytes);
        if (read.kind !== "query") return;
        const answer = writeAnswer(read.query, { rcode: 0, address: "198.18.0.1" });
        expect(answer.subarray(12, 12 + read.query.question.length)).toEqual(Buffer.from(read.query.question));
        expect(answer.readUInt16BE(0)).toBe(bytes.readUInt16BE(0));
        expect(answer.readUInt16BE(2) & 0x8000).toBe(0x8000);
        // our own answer is a response, which is never answered again
        expect(readQuery(answer).kind).toBe("drop");
      },
    ),
    { runs: 20_000 },
  );
});

test("the resolver answers hostile messages with at most one address of its own network", async () => {
  const names = new SyntheticAddresses();
  let now = 0;
  const resolver = new SyntheticResolver({
    names,
    clock: { ...systemClock, monotonic: () => (now += 100) },
    log: silentLog,
    named: () => undefined,
    refused: () => undefined,
  });
  await fuzz(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 63 }), { maxLength: 6 }),
      fc.integer({ min: 0, max: 65_535 }),
      fc.integer({ min: 0, max: 65_535 }),
      (labels, type, flags) => {
        const message = Buffer.concat([
          dnsQuery("x").subarray(0, 12),
          ...labels.flatMap((label) => [Buffer.from([label.length]), label]),
          Buffer.from([0, type >> 8, type & 255, 0, 1]),
        ]);
        message.writeUInt16BE(flags, 2);
        const answer = resolver.answer(message);
        if (answer === undefined) return;
        const count = answer.readUInt16BE(6);
        expect(count).toBeLessThanOrEqual(1);
        if (count === 1) expect(answer.subarray(-4).subarray(0, 1)[0]).toBe(198);
      },
    ),
    { runs: 10_000 },
  );
});

test("64 KB of anything is judged in bounded time", () => {
  const head = dnsQuery("a.com").subarray(0, 12);
  for (const fill of [0, 1, 63, 64, 0xc0, 0xff]) {
    const message = Buffer.concat([head, Buffer.alloc(65_000, fill)]);
    expect(cpuMs(() => readQuery(message))).toBeLessThan(100);
  }
});
