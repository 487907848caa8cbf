import { expect, test } from "vitest";
import { Holdings } from "./holdings.ts";

test("what several exchanges hold counts together, and comes back with the end of each", () => {
  const holdings = new Holdings({ heldBytesPerSandbox: 100, codedBodiesPerSandbox: 2 });
  const [one, two] = [holdings.open(), holdings.open()];
  expect([one.takeBytes(60), two.takeBytes(41), two.takeBytes(40), one.takeBytes(1)]).toEqual([true, false, true, false]);
  one.release();
  one.release();
  expect([two.takeBytes(61), two.takeBytes(60)]).toEqual([false, true]);
  two.release();
  expect(holdings.open().takeBytes(100)).toBe(true);
});

test("an exchange has one pair of decoders, however often it asks", () => {
  const holdings = new Holdings({ heldBytesPerSandbox: 100, codedBodiesPerSandbox: 2 });
  const [one, two, three] = [holdings.open(), holdings.open(), holdings.open()];
  expect([one.takeDecoders(), one.takeDecoders(), two.takeDecoders(), three.takeDecoders()]).toEqual([true, true, true, false]);
  one.release();
  one.release();
  expect([three.takeDecoders(), one.takeDecoders()]).toEqual([true, false]);
});
