import { setTimeout as delay } from "node:timers/promises";

export type WaitOptions = {
  /** how long to keep asking (ms) */
  readonly timeoutMs?: number;
  /** pause between two questions (ms) */
  readonly intervalMs?: number;
  /** what is being waited for, for the message */
  readonly what?: string;
};

/**
 * Asks until the answer is truthy, and returns it; throws past the deadline, with the last error or answer in the message.
 * This is what a test uses where it would like to sleep.
 */
export async function waitFor<T>(
  question: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Exclude<T, undefined | null | false | 0 | "">> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await question();
      if (answer) return answer as Exclude<T, undefined | null | false | 0 | "">;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline) {
      const said = last instanceof Error ? last.message : JSON.stringify(last);
      throw new Error(`waited ${timeoutMs} ms in vain for ${options.what ?? "the condition"}; last answer: ${said}`, { cause: last });
    }
    await delay(options.intervalMs ?? 10);
  }
}
