import { expect, test } from "vitest";
import { dnsQuery, gatewayFixture } from "../support/gateway/fixture.ts";

const HOST = "allowed.example.com";
const header = (questions: number): number[] => [0x12, 0x34, 1, 0, 0, questions, 0, 0, 0, 0, 0, 0];

const MESSAGES: readonly (readonly [string, Buffer])[] = [
  ["nothing", Buffer.alloc(0)],
  ["half a header", Buffer.from(header(1).slice(0, 7))],
  ["no question", Buffer.from(header(0))],
  ["65535 questions", Buffer.from([...header(1).slice(0, 4), 0xff, 0xff, 0, 0, 0, 0, 0, 0])],
  ["a pointer to itself", Buffer.from([...header(1), 0xc0, 12, 0, 1, 0, 1])],
  ["a pointer loop", Buffer.from([...header(1), 0xc0, 14, 0xc0, 12, 0, 1, 0, 1])],
  ["a label past the end", Buffer.from([...header(1), 63, 97])],
  ["a name without an end", Buffer.concat([Buffer.from(header(1)), Buffer.alloc(400, Buffer.from([1, 97]))])],
  ["a reserved label type", Buffer.from([...header(1), 0x80, 97, 0, 0, 1, 0, 1])],
  ["an answer instead of a question", Buffer.concat([Buffer.from([0x12, 0x34, 0x81, 0x80]), dnsQuery(HOST).subarray(4)])],
  ["60 KB", Buffer.alloc(60_000, 0xff)],
];

test.each(MESSAGES)("%s: no fault, and the next question is answered", async (_name, message) => {
  let resolved = 0;
  await using fixture = await gatewayFixture({ allow: [HOST], resolve: () => ((resolved += 1), Promise.resolve([])) });
  const [, next] = await Promise.all([fixture.ask(message), fixture.ask(dnsQuery(HOST))]);
  expect((next?.readUInt16BE(2) ?? 15) & 15).toBe(0);
  expect(resolved).toBe(0);
});
