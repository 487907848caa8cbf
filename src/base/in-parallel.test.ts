import { expect, test } from "vitest";
import { inParallel } from "./in-parallel.ts";

test("works so many at a time, on everything once", async () => {
  let now = 0;
  let most = 0;
  const seen: number[] = [];
  await inParallel([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setImmediate(resolve));
    seen.push(item);
    now -= 1;
  });
  expect(most).toBe(3);
  expect(seen.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test("a failure begins nothing more, and is told when the rest has ended", async () => {
  const slow = Promise.withResolvers<void>();
  const begun: number[] = [];
  let isOver = false;
  const all = inParallel([1, 2, 3, 4], 2, async (item) => {
    begun.push(item);
    if (item === 1) throw new Error("the first");
    await slow.promise;
  }).catch((error: unknown) => {
    isOver = true;
    return error;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(isOver).toBe(false);
  slow.resolve();
  expect(await all).toMatchObject({ message: "the first" });
  expect(begun).toEqual([1, 2]);
});
