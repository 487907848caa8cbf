import { createHash } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/error.ts";
import type { JsonAnswer } from "./envelope.ts";

/** What a handler came to: an answer to keep, one that cannot be kept (a stream, a fault that may pass), or nothing done. */
export type Attempt =
  | { readonly kind: "answer"; readonly answer: JsonAnswer }
  | { readonly kind: "response"; readonly response: Response }
  | { readonly kind: "retryable"; readonly answer: JsonAnswer };

export type Replayable = Attempt | { readonly kind: "replay"; readonly answer: JsonAnswer };

export type IdempotencyLimits = { readonly entries: number; readonly bytes: number; readonly bytesEach: number; readonly ttlMs: number };

const LIMITS: IdempotencyLimits = { entries: 2_000, bytes: 64 * 1024 * 1024, bytesEach: 8 * 1024 * 1024, ttlMs: 24 * 3_600_000 };

type Entry = {
  readonly bodyHash: string;
  readonly at: number;
  /** settles with the answer, `"stream"` or `"large"` when it was done but cannot be given again, undefined when it must be tried anew */
  readonly settled: Promise<JsonAnswer | "stream" | "large" | undefined>;
  done: boolean;
  bytes: number;
};

/**
 * Answers of requests that carried an `Idempotency-Key`, so that a repeated one is answered and not done again. In memory and
 * bounded: the oldest answers go first, and after a restart none is left.
 */
export class IdempotencyStore {
  readonly #clock: Clock;
  readonly #limits: IdempotencyLimits;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(clock: Clock, limits: Partial<IdempotencyLimits> = {}) {
    this.#clock = clock;
    this.#limits = { ...LIMITS, ...limits };
  }

  /**
   * Runs `attempt` unless a request with this key has been, or is being, answered.
   * @throws AppError CONFLICT for another body under the same key, or when the first answer cannot be given again
   */
  async run(
    key: { readonly caller: string; readonly route: string; readonly key: string; readonly body: string },
    attempt: () => Promise<Attempt>,
  ): Promise<Replayable> {
    if (!/^[\x21-\x7e]{1,255}$/.test(key.key))
      throw new AppError("VALIDATION", "Idempotency-Key: 1–255 visible ASCII characters are expected");
    const id = JSON.stringify([key.caller, key.route, key.key]);
    const bodyHash = createHash("sha256").update(key.body).digest("base64");
    for (;;) {
      this.#expire();
      const earlier = this.#entries.get(id);
      if (earlier === undefined) break;
      if (earlier.bodyHash !== bodyHash) {
        throw new AppError("CONFLICT", "this Idempotency-Key was used with another body", { hint: "use a new key for a new request" });
      }
      const answer = await earlier.settled;
      if (answer === "stream" || answer === "large") {
        throw new AppError(
          "CONFLICT",
          `the request with this Idempotency-Key was done; its answer ${answer === "stream" ? "was a stream" : "is too large"} and cannot be given again`,
        );
      }
      if (answer !== undefined) return { kind: "replay", answer };
    }
    return this.#first(id, bodyHash, attempt);
  }

  async #first(id: string, bodyHash: string, attempt: () => Promise<Attempt>): Promise<Attempt> {
    if (!this.#makeRoom()) throw new AppError("LIMIT_EXCEEDED", "too many requests with an Idempotency-Key are under way");
    let settle: (value: JsonAnswer | "stream" | "large" | undefined) => void = () => undefined;
    const entry: Entry = {
      bodyHash,
      at: this.#clock.monotonic(),
      settled: new Promise((resolve) => (settle = resolve)),
      done: false,
      bytes: 0,
    };
    this.#entries.set(id, entry);
    let kept: JsonAnswer | "stream" | "large" | undefined;
    try {
      const result = await attempt();
      if (result.kind === "response") kept = "stream";
      else if (result.kind === "answer") kept = result.answer.text.length > this.#limits.bytesEach ? "large" : result.answer;
      return result;
    } finally {
      entry.done = true;
      if (kept === undefined) this.#entries.delete(id);
      else if (typeof kept === "object") {
        entry.bytes = kept.text.length;
        this.#bytes += entry.bytes;
        this.#makeRoom(0);
      }
      settle(kept);
    }
  }

  #expire(): void {
    const oldest = this.#clock.monotonic() - this.#limits.ttlMs;
    for (const [id, entry] of this.#entries) {
      if (entry.at > oldest) break;
      if (entry.done) this.#drop(id, entry);
    }
  }

  /** Drops the oldest answers until one more fits; false when everything held is under way. */
  #makeRoom(extra = 1): boolean {
    for (const [id, entry] of this.#entries) {
      if (this.#entries.size + extra <= this.#limits.entries && this.#bytes <= this.#limits.bytes) return true;
      if (entry.done) this.#drop(id, entry);
    }
    return this.#entries.size + extra <= this.#limits.entries;
  }

  #drop(id: string, entry: Entry): void {
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
  }
}
