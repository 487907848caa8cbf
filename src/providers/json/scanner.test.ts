import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePaths, type PathNode } from "./paths.ts";
import { JsonScanner, type JsonSink, type ScanResult } from "./scanner.ts";

type Seen = {
  readonly values: Record<string, unknown>;
  result: ScanResult;
  dropped: string[];
  variants: string[];
  texts: number;
  entered: number;
};

function scan(paths: PathNode, bytes: Buffer, sizes: readonly number[], cap = 1 << 20): Seen {
  const seen: Seen = { values: {}, result: "empty", dropped: [], variants: [], texts: 0, entered: 0 };
  const sink: JsonSink = {
    wants: () => true,
    value: (slot, value, start, end) => {
      seen.values[slot] = value;
      // the offsets must give the same value back
      expect(JSON.parse(bytes.subarray(start, end).toString())).toEqual(value);
    },
    dropped: (slot) => seen.dropped.push(slot),
    text: (_slot, count) => {
      seen.texts += count;
    },
    enter: () => {
      seen.entered += 1;
    },
    variant: (slot) => seen.variants.push(slot),
    other: () => undefined,
  };
  const scanner = new JsonScanner(paths, sink, cap);
  let at = 0;
  for (let i = 0; at < bytes.length; i += 1) {
    const size = Math.max(1, sizes[i % Math.max(1, sizes.length)] ?? bytes.length);
    // the window stands in a larger buffer, as a chunk of a stream does
    const window = Buffer.concat([Buffer.from('"x'), bytes.subarray(at, at + size), Buffer.from('"}]')]);
    let from = 2;
    const to = 2 + Math.min(size, bytes.length - at);
    while (from < to && !scanner.failed) from = scanner.write(window, from, to);
    if (scanner.failed) break;
    at += size;
  }
  seen.result = scanner.finish();
  return seen;
}

const PATHS = compilePaths([
  { path: "model", slot: "model", action: "value" },
  { path: "stream", slot: "stream", action: "value" },
  { path: "usage", slot: "usage", action: "value" },
  { path: "a.b.model", slot: "deep", action: "value" },
  { path: "list.*.model", slot: "last", action: "value" },
  { path: "list.*.text", slot: "text", action: "text" },
]);

/** What JSON.parse gives at the same paths. */
function reference(text: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  const root: unknown = JSON.parse(text);
  const at = (value: unknown, key: string): unknown =>
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.hasOwn(value, key)
      ? (value as Record<string, unknown>)[key]
      : undefined;
  for (const key of ["model", "stream", "usage"]) if (at(root, key) !== undefined) found[key] = at(root, key);
  const deep = at(at(at(root, "a"), "b"), "model");
  if (deep !== undefined) found["deep"] = deep;
  const list = at(root, "list");
  for (const entry of Array.isArray(list) ? list : []) if (at(entry, "model") !== undefined) found["last"] = at(entry, "model");
  return found;
}

const key = fc.oneof(
  fc.constantFrom("model", "stream", "usage", "a", "b", "list", "text", "Model", "mode", "__proto__"),
  fc.string({ unit: "binary", maxLength: 6 }),
);
const { value: anyJson } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom(null, true, false, 0, -1.5e-7, 12345678901, "", "m"),
    fc.string({ unit: "binary", maxLength: 80 }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie("value")), { maxLength: 5 }).map((entries) => Object.fromEntries(entries)),
  ),
}));
const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 });
const RUNS = { seed: 20_261_121, numRuns: 600 };

/** JSON with every legal freedom: white space between tokens, escapes for any character. */
function spell(value: unknown, choose: () => number): string {
  const space = (): string => ["", "", "", " ", "\n", "\t\r\n "][choose() % 6] ?? "";
  const text = (plain: string): string =>
    `"${[
      ...JSON.stringify(plain)
        .slice(1, -1)
        .matchAll(/\\u[0-9a-f]{4}|\\.|[^\\]/gu),
    ]
      .map(([unit]) => (unit.length === 1 && choose() % 5 === 0 ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}` : unit))
      .join("")}"`;
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return `[${space()}${value.map((entry) => spell(entry, choose) + space()).join(`,${space()}`)}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([name, entry]) => `${text(name)}${space()}:${space()}${spell(entry, choose)}${space()}`);
    return `{${space()}${entries.join(`,${space()}`)}}`;
  }
  return JSON.stringify(value);
}

describe("the scanner", () => {
  it("finds what JSON.parse finds, in any spelling and any chunking", () => {
    fc.assert(
      fc.property(anyJson, sizes, fc.array(fc.nat(1000), { minLength: 1, maxLength: 50 }), (value, cut, choices) => {
        let at = 0;
        const text = spell(value, () => choices[at++ % choices.length] ?? 0);
        const seen = scan(PATHS, Buffer.from(text), cut);
        expect(seen.result).toBe("complete");
        expect(seen.values).toEqual(reference(text));
      }),
      RUNS,
    );
  });

  it("says incomplete or failed for what was cut off, never complete", () => {
    fc.assert(
      fc.property(fc.record({ model: anyJson, list: anyJson }), sizes, fc.nat(), (value, cut, at) => {
        const text = Buffer.from(JSON.stringify(value));
        const part = text.subarray(0, at % text.length);
        expect(scan(PATHS, part, cut).result).not.toBe("complete");
      }),
      RUNS,
    );
  });

  it("reads any bytes in any chunking to the same end", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.string({ maxLength: 80 }).map((text) => Buffer.from(text)),
      anyJson.map((value) => Buffer.from(JSON.stringify(value).replace(/[,:}]/, ""))),
    );
    fc.assert(
      fc.property(bytes, sizes, (raw, cut) => {
        const whole = scan(PATHS, Buffer.from(raw), [1 << 20]);
        expect(scan(PATHS, Buffer.from(raw), cut)).toEqual(whole);
      }),
      RUNS,
    );
  });

  it.each([
    "{'model':1}",
    '{"a":1,}',
    "[1,]",
    "{,}",
    '{"a" 1}',
    "[1 2]",
    "{]",
    "[}",
    '{"a":}',
    "{1:2}",
    "}",
    '{"a":1]',
    "\u0000{}",
    '{"a":[{"b":1}}]',
  ])("refuses %j", (text) => {
    expect(scan(PATHS, Buffer.from(text), [3]).result).toBe("failed");
  });

  it("holds no more than its cap, however large a value is", () => {
    const seen = scan(PATHS, Buffer.from(`{"model":"${"x".repeat(10_000)}","usage":{"n":1}}`), [100], 64);
    expect(seen.dropped).toEqual(["model"]);
    expect(seen.values).toEqual({ usage: { n: 1 } });
  });

  it("ends at its nesting limit instead of growing", () => {
    expect(scan(PATHS, Buffer.from("[".repeat(5000)), [1000]).result).toBe("failed");
    expect(scan(PATHS, Buffer.from("[".repeat(4000) + "]".repeat(4000)), [1000]).result).toBe("complete");
  });

  it("tells keys that differ in case only, escaped or not", () => {
    expect(scan(PATHS, Buffer.from('{"Model":1,"STREAM":2,"\\u004dodel":3,"mo@el":4}'), [5]).variants).toEqual([
      "model",
      "stream",
      "model",
    ]);
  });

  it("takes the last of equal keys, as JSON.parse does", () => {
    expect(scan(PATHS, Buffer.from('{"model":"a","model":"b"}'), [4]).values).toEqual({ model: "b" });
  });

  it("counts text by its bytes", () => {
    expect(
      scan(PATHS, Buffer.from('{"list":[{"text":"1234"},{"text":"é"},{"text":5},{"text":{"text":"no"}}],"text":"no"}'), [1]).texts,
    ).toBe(6);
  });
});
