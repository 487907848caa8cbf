import { setTimeout as delay } from "node:timers/promises";

/**
 * Work of one key comes one after another, and never two at once: who has waited too long is turned away, and its place in the row goes
 * to nobody else before those ahead of it are done.
 */
export class BoundedTurns {
  readonly #waitMs: number;
  readonly #last = new Map<string, Promise<void>>();

  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /** `busy`: the turn did not come in time, and nothing was done. */
  async run(key: string, work: () => Promise<void>): Promise<"done" | "busy"> {
    const before = this.#last.get(key);
    const mine = Promise.withResolvers<void>();
    const last = before === undefined ? mine.promise : before.then(() => mine.promise);
    this.#last.set(key, last);
    try {
      if (before !== undefined && !(await this.#isReached(before))) return "busy";
      await work();
      return "done";
    } finally {
      mine.resolve();
      void last.then(() => {
        if (this.#last.get(key) === last) this.#last.delete(key);
      });
    }
  }

  async #isReached(before: Promise<void>): Promise<boolean> {
    const late = new AbortController();
    const isLate = delay(this.#waitMs, false, { signal: late.signal }).catch(() => false);
    try {
      return await Promise.race([before.then(() => true), isLate]);
    } finally {
      late.abort();
    }
  }
}
