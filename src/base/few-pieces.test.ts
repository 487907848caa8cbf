import { expect, it } from "vitest";
import { FewPieces } from "./few-pieces.ts";

it("holds what comes byte by byte in few buffers, in order", () => {
  const pieces = new FewPieces();
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
  for (let at = 0; at < bytes.length; at += 1) pieces.push(Buffer.from(bytes.subarray(at, at + 1)));
  const held = pieces.take();
  expect(held.length).toBeLessThan(1_000);
  expect(Buffer.concat(held).equals(bytes)).toBe(true);
  expect(pieces.take()).toEqual([]);
});

it("copies no large ones", () => {
  const pieces = new FewPieces();
  const all = Array.from({ length: 1_000 }, () => Buffer.alloc(2_048));
  for (const one of all) pieces.push(one);
  const held = pieces.take();
  expect(held.every((one, at) => one === all[at])).toBe(true);
});
