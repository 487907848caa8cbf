import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { startTimer } from "./long-timer.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const DAY_MS = 24 * 3_600_000;

it("waits longer than one timer of Node can", () => {
  const work = vi.fn<() => void>();
  startTimer(60 * DAY_MS, work);
  vi.advanceTimersByTime(60 * DAY_MS - 1);
  expect(work).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(work).toHaveBeenCalledOnce();
  vi.advanceTimersByTime(90 * DAY_MS);
  expect(work).toHaveBeenCalledOnce();
});

it("can be taken back, in its later parts too", () => {
  const work = vi.fn<() => void>();
  const stop = startTimer(60 * DAY_MS, work);
  vi.advanceTimersByTime(30 * DAY_MS);
  stop();
  vi.advanceTimersByTime(60 * DAY_MS);
  expect(work).not.toHaveBeenCalled();
});
