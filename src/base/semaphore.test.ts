import { expect, test } from "vitest";
import { Semaphore } from "./semaphore.ts";

const never = new AbortController().signal;

test("admits so many, then in order as permits come back", async () => {
  const semaphore = new Semaphore(2);
  const first = await semaphore.acquire(never);
  const second = await semaphore.acquire(never);
  const order: string[] = [];
  const third = semaphore.acquire(never).then((permit) => (order.push("third"), permit));
  const fourth = semaphore.acquire(never).then((permit) => (order.push("fourth"), permit));
  await Promise.resolve();
  expect(order).toEqual([]);
  second[Symbol.dispose]();
  second[Symbol.dispose]();
  await third;
  expect(order).toEqual(["third"]);
  first[Symbol.dispose]();
  await fourth;
  expect(order).toEqual(["third", "fourth"]);
});

test("one that gives up leaves the queue and costs no permit", async () => {
  const semaphore = new Semaphore(1);
  const held = await semaphore.acquire(never);
  const controller = new AbortController();
  const gaveUp = semaphore.acquire(controller.signal);
  controller.abort(new Error("enough"));
  await expect(gaveUp).rejects.toThrow("enough");
  held[Symbol.dispose]();
  using again = await semaphore.acquire(never);
  expect(again).toBeDefined();
});
