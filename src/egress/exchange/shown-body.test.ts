import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { cutBody, withBodies, withoutBodies } from "../../schema/shown-body.ts";
import type { Event } from "../../schema/event.ts";
import { formsOf } from "../../secrets/forms.ts";
import { BodyCapture, type CapturedBody, showBody } from "./shown-body.ts";

const NONE = { forms: [], text: (text: string) => text };
const whole = (text: string | Buffer): CapturedBody => {
  const bytes = Buffer.from(text);
  return { bytes, size: bytes.length, isWhole: true, isUndecodable: false };
};

async function captured(pieces: readonly Buffer[], limit: number, coding?: string): Promise<CapturedBody> {
  const capture = new BodyCapture(limit, coding);
  for (const piece of pieces) capture.write(piece);
  return capture.end();
}

describe("BodyCapture", () => {
  it("keeps the beginning, and counts the rest", async () => {
    const pieces = ["abc", "def", "ghi"].map((text) => Buffer.from(text));
    expect(await captured(pieces, 100)).toEqual({ bytes: Buffer.from("abcdefghi"), size: 9, isWhole: true, isUndecodable: false });
    expect(await captured(pieces, 9)).toEqual({ bytes: Buffer.from("abcdefghi"), size: 9, isWhole: true, isUndecodable: false });
    expect(await captured(pieces, 5)).toEqual({ bytes: Buffer.from("abcde"), size: 9, isWhole: false, isUndecodable: false });
    expect(await captured([], 5)).toEqual({ bytes: Buffer.alloc(0), size: 0, isWhole: true, isUndecodable: false });
  });

  it("decodes what is compressed, says when it is cut, and keeps what nobody can decode", async () => {
    const text = Buffer.from("x".repeat(5_000));
    const coded = gzipSync(text);
    expect(await captured([coded.subarray(0, 9), coded.subarray(9)], 8_000, "gzip")).toEqual({
      bytes: text,
      size: coded.length,
      isWhole: true,
      isUndecodable: false,
    });
    expect(await captured([coded], 100, "gzip")).toMatchObject({ bytes: text.subarray(0, 100), isWhole: false });
    expect(await captured([coded], 100, "gzip")).toMatchObject({ isUndecodable: false });
    // it ends early although nothing follows: whoever receives it cannot read it either
    expect(await captured([coded.subarray(0, 12)], 8_000, "gzip")).toMatchObject({ isWhole: false, isUndecodable: true });
    const part = new BodyCapture(8_000, "gzip");
    part.write(coded.subarray(0, 12));
    expect(await part.end(null)).toMatchObject({ isWhole: false, isUndecodable: false });
    expect(await captured([coded], 8_000, "unheard-of")).toEqual({ bytes: coded, size: coded.length, isWhole: true, isUndecodable: true });
  });
});

describe("showBody", () => {
  it("shows text as text and everything else as base64, at most the cap", () => {
    expect(showBody(whole('{"a":"ü"}'), 100, NONE)).toEqual({ content: '{"a":"ü"}', encoding: "utf8", size: 10, truncated: false });
    expect(showBody(whole(Buffer.from([0xff, 0xfe, 0, 1])), 100, NONE)).toEqual({
      content: "//4AAQ==",
      encoding: "base64",
      size: 4,
      truncated: false,
    });
    expect(showBody(whole(Buffer.from([0xff, 0xfe, 0, 1])), 2, NONE)).toEqual({
      content: "//4=",
      encoding: "base64",
      size: 4,
      truncated: true,
    });
    expect(showBody({ bytes: Buffer.alloc(0), size: null, isWhole: false, isUndecodable: false }, 9, NONE)).toEqual({
      content: "",
      encoding: "utf8",
      size: null,
      truncated: true,
    });
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])("cuts no character at %i bytes", (cap) => {
    for (const text of ["aü€🦀b", "🦀🦀🦀", "üüüüü", "abcdefghijk"]) {
      const body = showBody(whole(text), cap, NONE);
      const bytes = Buffer.from(body.content, body.encoding);
      expect(bytes.length).toBeLessThanOrEqual(cap);
      expect(body.encoding === "utf8" ? text.startsWith(body.content) : Buffer.from(text).subarray(0, cap).equals(bytes)).toBe(true);
      expect(body.truncated).toBe(bytes.length < Buffer.byteLength(text));
    }
  });

  it("is text when the end of what was captured cuts a character", () => {
    const bytes = Buffer.from("aü€").subarray(0, 4);
    expect(showBody({ bytes, size: null, isWhole: false, isUndecodable: false }, 100, NONE)).toMatchObject({
      content: "aü",
      encoding: "utf8",
    });
  });

  it("grows by no more than base64 does, whatever a sandbox sends", () => {
    for (const text of ["\u0000".repeat(3_000), '"'.repeat(3_000), "\u202e".repeat(1_000), "a".repeat(3_000), `{"k":"v"}`.repeat(300)]) {
      const { content } = showBody(whole(text), 3_000, NONE);
      const escaped = JSON.stringify(content).replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\\u0000");
      expect(Buffer.byteLength(escaped)).toBeLessThanOrEqual(4_004);
    }
  });

  it("hides real values in each of their forms, and a value that the cap would cut in two", () => {
    const value = "real-value-1234567890";
    const mask = { forms: formsOf(value, "placeholder"), text: (text: string) => text.replaceAll("pattern-secret", "[redacted]") };
    const text = `a ${value} b ${Buffer.from(value).toString("base64")} c ${encodeURIComponent(`${value}/`)} pattern-secret`;
    const body = showBody(whole(text), 1_000, mask);
    for (const secret of [value, Buffer.from(value).toString("base64").slice(0, 24), "pattern-secret"])
      expect(body.content).not.toContain(secret);
    const cut = showBody({ bytes: Buffer.from(`0123456789${value} and more`), size: null, isWhole: false, isUndecodable: false }, 20, mask);
    expect(cut).toMatchObject({ content: "0123456789placeholde", truncated: true });
  });
});

describe("an event with bodies", () => {
  const body = { content: "abcdef", encoding: "utf8", size: 6, truncated: false } as const;
  const event = {
    type: "egress.exchange",
    request_body: body,
    response_body: { ...body, content: "AAECAwQF", encoding: "base64" },
  } as unknown as Event;

  it("is cut for who asked for less, and bare for everybody else", () => {
    expect(withoutBodies(event)).toEqual({ type: "egress.exchange" });
    expect(withBodies(event, 0)).toEqual({ type: "egress.exchange" });
    expect(withBodies(event, 6)).toEqual(event);
    expect(withBodies(event, 3)).toEqual({
      type: "egress.exchange",
      request_body: { content: "abc", encoding: "utf8", size: 6, truncated: true },
      response_body: { content: "AAEC", encoding: "base64", size: 6, truncated: true },
    });
    expect(cutBody({ ...body, content: "aü", size: 3 }, 2).content).toBe("a");
  });
});
