import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formsOf } from "./forms.ts";
import { needlesOf } from "./needles.ts";
import { StreamRedactor, StreamScan } from "./scan.ts";

const VALUE = "sk-proj-A/b+c=9realrealrealreal0";
const PLACEHOLDER = "sk-proj-0000111122223333xxxxyyyy";
const forms = formsOf(VALUE, PLACEHOLDER);

const WRITTEN: readonly (readonly [string, (value: string) => string])[] = [
  ["as it is", (value) => value],
  ["percent-encoded", encodeURIComponent],
  ["percent-encoded in lower case", (value) => encodeURIComponent(value).replace(/%[0-9A-F]{2}/g, (text) => text.toLowerCase())],
  ["with escaped slashes", (value) => value.replaceAll("/", "\\/")],
  ["base64", (value) => Buffer.from(value).toString("base64")],
  ["base64 after one byte", (value) => Buffer.from(`:${value}`).toString("base64")],
  ["base64 after two bytes", (value) => Buffer.from(`u:${value}`).toString("base64")],
  ["base64url", (value) => Buffer.from(`user:${value}`).toString("base64url")],
];

function redacted(pieces: readonly Buffer[]): { readonly text: string; readonly found: number } {
  const redactor = new StreamRedactor(forms);
  const out = [...pieces.map((piece) => Buffer.from(redactor.write(piece))), redactor.end()];
  return { text: Buffer.concat(out).toString("latin1"), found: redactor.found };
}

const cut = (text: string, size: number): Buffer[] => {
  const bytes = Buffer.from(text, "latin1");
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
};

describe("a value in an answer", () => {
  it.each(WRITTEN)("%s is replaced, in pieces of every size, and nothing changes its length", (_name, write) => {
    const text = `{"you sent":"${write(VALUE)}","and":"${write(VALUE)}"}\n`;
    for (const size of [1, 2, 3, 7, 16, 31, 32, 33, 1000]) {
      const { text: out, found } = redacted(cut(text, size));
      expect(out).toHaveLength(text.length);
      expect(found).toBe(2);
      for (const [, other] of WRITTEN) expect(out).not.toContain(other(VALUE).slice(2, -4));
    }
  });

  it("as it is becomes the placeholder", () => {
    expect(redacted([Buffer.from(`x${VALUE}y`)]).text).toBe(`x${PLACEHOLDER}y`);
    expect(needlesOf(forms).replaceIn(`Bearer ${VALUE}`)).toBe(`Bearer ${PLACEHOLDER}`);
  });

  it("is held only while its beginning could be one: an event's end passes at once", () => {
    const redactor = new StreamRedactor(forms);
    expect(redactor.write(Buffer.from('data: {"a":1}\n\n')).toString()).toBe('data: {"a":1}\n\n');
    expect(redactor.write(Buffer.from("ends in sk-pr")).toString()).toBe("ends in ");
    expect(redactor.write(Buffer.from("etty\n")).toString()).toBe("sk-pretty\n");
    expect(redactor.end()).toHaveLength(0);
  });

  it("does not touch the bytes it was given, and what it does not find comes out as it went in", () => {
    const given = Buffer.from(VALUE);
    redacted([given]);
    expect(given.toString()).toBe(VALUE);
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), (pieces) => {
        const whole = Buffer.concat(pieces);
        expect(redacted(pieces.map((piece) => Buffer.from(piece))).text).toBe(whole.toString("latin1"));
      }),
    );
  });

  it("of under eight characters is not looked for: it stands in everything", () => {
    expect(formsOf("secret1", "placeholder-of-it")).toEqual([]);
  });
});

describe("a text in a body", () => {
  it("is found in pieces of every size, wherever they are cut", () => {
    const texts = formsOf(PLACEHOLDER, PLACEHOLDER);
    for (const [, write] of WRITTEN) {
      const text = `${"x".repeat(50)}${write(PLACEHOLDER)}${"y".repeat(50)}`;
      for (const size of [1, 2, 5, 31, 32, 64, 1000]) {
        const scan = new StreamScan(texts);
        expect(cut(text, size).some((piece) => scan.write(piece) !== -1)).toBe(true);
      }
    }
    const scan = new StreamScan(texts);
    expect(cut(`${PLACEHOLDER.slice(0, -1)}!${PLACEHOLDER.slice(1)}`, 3).some((piece) => scan.write(piece) !== -1)).toBe(false);
  });

  it("is found where false beginnings of it overlap, and nowhere else, wherever the bytes are cut", () => {
    const text = "aabaabaac";
    const forms = formsOf(text, text);
    for (const before of ["", "a", "aab", "aabaabaab", "aabaabaabaab", "xaabaabaa"]) {
      for (const [whole, isThere] of [[`${before}${text}z`, true] as const, [`${before}aabaabaad${before}`, false] as const]) {
        for (let size = 1; size <= whole.length; size += 1) {
          const scan = new StreamScan(forms);
          expect([whole, size, cut(whole, size).some((piece) => scan.write(piece) !== -1)]).toEqual([whole, size, isThere]);
        }
      }
    }
  });

  it("is found in a large body at every place near the end of a window", () => {
    const needles = needlesOf(formsOf(PLACEHOLDER, PLACEHOLDER));
    const body = Buffer.alloc(400_000, "x");
    expect(needles.find(body)).toBe(-1);
    for (const at of [0, 131_072 - 40, 131_072 - PLACEHOLDER.length, 131_072 - 1, 131_072, 262_144 - 5, 400_000 - PLACEHOLDER.length]) {
      const copy = Buffer.from(body);
      copy.write(PLACEHOLDER, at, "latin1");
      expect([at, needles.find(copy)]).toEqual([at, 0]);
    }
  });
});
