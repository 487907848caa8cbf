import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Gathering } from "./gather.ts";

describe("a held body", () => {
  it("is what came, whatever was announced and however it was cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 12 }),
        fc.option(fc.integer({ min: 0, max: 300_000 })),
        (sizes, announced) => {
          const pieces = sizes.map((size, i) => Buffer.alloc(size, i + 1));
          const all = Buffer.concat(pieces);
          for (const length of [announced, all.length, null]) {
            const gathering = new Gathering(length);
            for (const piece of pieces) gathering.add(piece);
            expect(gathering.size).toBe(all.length);
            expect(gathering.bytes().equals(all)).toBe(true);
            expect(Buffer.concat(gathering.pieces()).equals(all)).toBe(true);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("keeps one piece and not many, once it is large and its length is known", () => {
    const gathering = new Gathering(200_000);
    for (let i = 0; i < 20; i += 1) gathering.add(Buffer.alloc(10_000, i));
    expect(gathering.pieces()).toHaveLength(1);
    expect(gathering.bytes()).toHaveLength(200_000);
  });
});

it("a body that comes byte by byte is held in few pieces", () => {
  const gathering = new Gathering(null);
  for (let at = 0; at < 50_000; at += 1) gathering.add(Buffer.from([at % 251]));
  expect(gathering.pieces().length).toBeLessThan(500);
  expect(gathering.bytes().equals(Buffer.from(Array.from({ length: 50_000 }, (_, at) => at % 251)))).toBe(true);
});
