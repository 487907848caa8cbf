import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { formatLine, GENESIS, isChainId, isSelfConsistent, parseLine, START, stepOver } from "./chain.ts";

const CHAIN = "chn_01m7yy7cpf0000cdtw56x613";

describe("a line", () => {
  it("is hashed as the format says, over bytes", () => {
    const event = '{"id":"evt_1","reason":"Grüße 🦀"}';
    const { line, hash } = formatLine(CHAIN, 1, GENESIS, event);
    const expected = createHash("sha256")
      .update("audit.v1\0")
      .update(CHAIN)
      .update("1")
      .update(GENESIS)
      .update(Buffer.from(event, "utf8"))
      .digest("hex");
    expect(hash).toBe(expected);
    expect(line).toBe(`{"v":1,"chain":"${CHAIN}","seq":1,"prev":"${GENESIS}","hash":"${expected}","event":${event}}\n`);
    expect(JSON.parse(line)).toMatchObject({ v: 1, seq: 1, event: JSON.parse(event) });
  });

  it("is stepped over when it follows, and left as it was when it does not", () => {
    const first = formatLine(CHAIN, 1, GENESIS, '{"a":1}');
    const second = formatLine(CHAIN, 2, first.hash, '{"b":2}');
    const bytes = Buffer.from(first.line + second.line);
    const end = first.line.length - 1;
    expect(stepOver(Buffer.from(bytes), 0, end, CHAIN, START)).toEqual({ seq: 1, hash: first.hash });
    expect(stepOver(Buffer.from(bytes), end + 1, bytes.length - 1, CHAIN, { seq: 1, hash: first.hash })).toEqual({
      seq: 2,
      hash: second.hash,
    });
    const changed = Buffer.from(first.line.replace('"a":1', '"a":2'));
    const copy = Buffer.from(changed);
    expect(stepOver(changed, 0, changed.length - 1, CHAIN, START)).toBeUndefined();
    expect(changed).toEqual(copy);
    expect(stepOver(Buffer.from(bytes), end + 1, bytes.length - 1, CHAIN, START)).toBeUndefined();
  });

  it("says whether its hash is its own", () => {
    const { line } = formatLine(CHAIN, 7, "a".repeat(64), '{"a":1}');
    const bytes = Buffer.from(line);
    const parsed = parseLine(bytes, 0, bytes.length - 1);
    expect(parsed).toMatchObject({ chain: CHAIN, seq: 7, prev: "a".repeat(64) });
    expect(bytes.toString("utf8", parsed?.eventStart, parsed?.eventEnd)).toBe('{"a":1}');
    expect(parsed !== undefined && isSelfConsistent(bytes, parsed)).toBe(true);
    expect(parsed !== undefined && isSelfConsistent(bytes, { ...parsed, seq: 8 })).toBe(false);
  });

  it.each([
    "",
    "{}",
    "x",
    '{"v":1,"chain":"chn_x","seq":1',
    `{"v":1,"chain":"${CHAIN}","seq":01,"prev":"${GENESIS}","hash":"${GENESIS}","event":{}}`,
    `{"v":1,"chain":"${CHAIN}","seq":1,"prev":"${GENESIS}","hash":"${GENESIS}","event":}`,
  ])("is not %j", (text) => {
    const bytes = Buffer.from(text);
    expect(parseLine(bytes, 0, bytes.length)).toBeUndefined();
    expect(stepOver(bytes, 0, bytes.length, CHAIN, START)).toBeUndefined();
  });
});

describe("a chain id", () => {
  it("has one length, so that the hash input is unambiguous", () => {
    expect(isChainId(CHAIN)).toBe(true);
    for (const other of ["chn_1", `${CHAIN}0`, CHAIN.toUpperCase(), "..", "chn_../../../../../../../etc"])
      expect(isChainId(other)).toBe(false);
  });
});
