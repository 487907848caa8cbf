import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createUsageStripper } from "./strip.ts";

const USAGE =
  '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":57,"completion_tokens":9}}';
const DELTA =
  '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hé"}}],"usage":null}';

function strip(text: string, size = 1 << 20): string {
  const stripper = createUsageStripper();
  const bytes = Buffer.from(text);
  const out: Uint8Array[] = [];
  for (let i = 0; i < bytes.length; i += size) out.push(...stripper.transform(bytes.subarray(i, i + size)));
  out.push(...stripper.flush());
  return Buffer.concat(out).toString();
}

describe("stripping usage", () => {
  it("drops the usage-only event and nothing else", () => {
    expect(strip(`data: ${DELTA}\n\ndata: ${USAGE}\n\ndata: [DONE]\n\n`)).toBe(`data: ${DELTA}\n\ndata: [DONE]\n\n`);
    expect(strip(`event: message\ndata: ${USAGE}\n\ndata: [DONE]\n\n`)).toBe("data: [DONE]\n\n");
  });

  it.each([
    ["choices that are not empty", USAGE.replace("[]", '[{"index":0,"delta":{}}]')],
    ["usage null", USAGE.replace(/\{"prompt.*\}\}$/, "null}")],
    ["no usage", '{"id":"c","choices":[]}'],
    ["a filter result", USAGE.replace('"choices"', '"prompt_filter_results":[],"choices"')],
    ["an error", `${USAGE.slice(0, -1)},"error":{"message":"x"}}`],
    ["choices of another type", USAGE.replace("[]", "{}")],
    ["choices twice, once filled", USAGE.replace("[]", '[],"choices":[{}]')],
    ["a key in another case", USAGE.replace('"choices"', '"Choices"')],
    ["an array around it", `[${USAGE}]`],
    ["more behind it", `${USAGE} x`],
    ["a missing brace", USAGE.slice(0, -1)],
  ])("keeps an event with %s", (_why, data) => {
    const stream = `data: ${DELTA}\n\ndata: ${data}\n\ndata: [DONE]\n\n`;
    expect(strip(stream)).toBe(stream);
    expect(strip(stream, 1)).toBe(stream);
  });

  it("keeps an event that sets an id or a delay, and comments wherever they stand", () => {
    for (const field of ["id: 7", "retry: 10", "data"]) {
      const stream = `${field}\ndata: ${USAGE}\n\n`;
      expect(strip(stream)).toBe(field === "data" ? "" : stream);
    }
    expect(strip(`: keep-alive\n\n: x\ndata: ${USAGE}\n\n: y\n\n`)).toBe(": keep-alive\n\n: x\n: y\n\n");
    const between = `event: x\n: c\ndata: ${USAGE}\n\n`;
    expect(strip(between)).toBe(between);
  });

  it("drops the line feed of a CRLF that comes with the next chunk", () => {
    const stripper = createUsageStripper();
    const out = [...stripper.transform(Buffer.from(`data: ${USAGE}\r\n\r`)), ...stripper.transform(Buffer.from("\ndata: [DONE]\r\n\r\n"))];
    expect(Buffer.concat(out).toString()).toBe("data: [DONE]\r\n\r\n");
  });

  it("gives an ordinary delta out with the bytes that show what it is, and every finished event at once", () => {
    const stripper = createUsageStripper();
    const written = (text: string): string => Buffer.concat([...stripper.transform(Buffer.from(text))]).toString();
    const cut = DELTA.indexOf("{", 2) + 1;
    expect(written(`data: ${DELTA.slice(0, cut)}`)).toBe(`data: ${DELTA.slice(0, cut)}`);
    expect(written(DELTA.slice(cut))).toBe(DELTA.slice(cut));
    expect(written("\n")).toBe("\n");
    expect(written("\n")).toBe("\n");
    expect(written(": ping\n\n")).toBe(": ping\n\n");
    expect(written(`data: ${USAGE}`)).toBe("");
    expect(written("\n")).toBe("");
    expect(written("\ndata: [DONE]\n\n")).toBe("data: [DONE]\n\n");
  });

  it("passes the same chunk object when there is nothing to do", () => {
    const chunk = Buffer.from(`data: ${DELTA}\n\n`);
    expect(createUsageStripper().transform(chunk)).toEqual([chunk]);
    expect(createUsageStripper().transform(chunk)[0]).toBe(chunk);
  });

  it("does not hold an event without end", () => {
    const stripper = createUsageStripper();
    const head = '{"id":"c","model":"';
    let given = 0;
    const give = (text: string): void => {
      for (const part of stripper.transform(Buffer.from(text))) given += part.length;
    };
    give(`data: ${head}`);
    for (let i = 0; i < 200; i += 1) give("x".repeat(1000));
    expect(given).toBe(6 + head.length + 200_000);
  });

  it("removes the same events in any chunking", () => {
    const event = fc.constantFrom(
      `data: ${DELTA}`,
      `data: ${USAGE}`,
      ": ping",
      "data: [DONE]",
      `event: e\ndata: ${DELTA}`,
      `data:${USAGE}`,
      "id: 1",
      "",
      `data: ${USAGE.replace(",", ",\ndata: ")}`,
    );
    const newline = fc.constantFrom("\n", "\r\n", "\r");
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 8 }),
        newline,
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
        (events, end, sizes) => {
          const lines = (list: readonly string[]): string => list.map((text) => `${text}\n\n`.replaceAll("\n", end)).join("");
          const whole = Buffer.from(lines(events));
          const stripper = createUsageStripper();
          const out: Uint8Array[] = [];
          for (let at = 0, i = 0; at < whole.length; i += 1) {
            const size = sizes[i % sizes.length] ?? 1;
            out.push(...stripper.transform(whole.subarray(at, at + size)));
            at += size;
          }
          out.push(...stripper.flush());
          expect(Buffer.concat(out).toString()).toBe(lines(events.filter((text) => !text.includes("prompt_tokens"))));
        },
      ),
      { seed: 5, numRuns: 500 },
    );
  });
});
