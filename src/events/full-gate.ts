import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/error.ts";
import type { Refusals } from "./group-commit.ts";
import type { LogHealth } from "./log.ts";

/** Waiters beyond this are refused: what waits here is held in memory. */
const MAX_WAITERS = 20_000;
const REASON = "it holds [audit].max_bytes of events that streams or hooks have not received";

type Waiter = { readonly pass: () => void; readonly refuse: (error: AppError) => void };

/** Holds new events back while the log is full of what was not delivered and may not be removed. */
export class FullGate {
  readonly #policy: "block" | "deny";
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiter>();
  #fullSinceMs: number | undefined;
  #refused = 0;

  constructor(policy: "block" | "deny", clock: Clock) {
    this.#policy = policy;
    this.#clock = clock;
  }

  get isFull(): boolean {
    return this.#fullSinceMs !== undefined;
  }

  health(): LogHealth {
    if (this.#fullSinceMs === undefined || this.#policy === "block") return { isWritable: true };
    return { isWritable: false, code: "DISK_FULL", reason: REASON, sinceMs: this.#fullSinceMs, refused: this.#refused };
  }

  /** @throws AppError DISK_FULL by policy, or when too many wait */
  async pass(): Promise<void> {
    if (this.#fullSinceMs === undefined) return;
    if (this.#policy === "deny" || this.#waiting.size >= MAX_WAITERS) {
      this.#refused += 1;
      throw new AppError("DISK_FULL", `the audit log takes no events: ${REASON}`, {
        hint: "GET /status shows which does not receive; or raise [audit].max_bytes",
      });
    }
    await new Promise<void>((resolve, reject) => this.#waiting.add({ pass: resolve, refuse: reject }));
  }

  /** What was refused meanwhile, when there is room again. */
  set(isFull: boolean): Refusals | undefined {
    if (isFull) {
      this.#fullSinceMs ??= this.#clock.now();
      return undefined;
    }
    const sinceMs = this.#fullSinceMs;
    const count = this.#refused;
    this.#fullSinceMs = undefined;
    this.#refused = 0;
    for (const waiter of this.#waiting) waiter.pass();
    this.#waiting.clear();
    return sinceMs === undefined || count === 0 ? undefined : { count, sinceMs, reason: `the log was full: ${REASON}` };
  }

  close(): void {
    for (const waiter of this.#waiting) waiter.refuse(new AppError("AUDIT_UNAVAILABLE", "the audit log was closed while it was full"));
    this.#waiting.clear();
  }
}
