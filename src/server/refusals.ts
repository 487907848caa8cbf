import { ignore } from "../base/background.ts";
import type { Clock } from "../base/clock.ts";
import type { NewEvent } from "../schema/event.ts";
import type { AuthRequest, Refusal } from "./auth.ts";

/** events a minute; what comes beyond is counted into the next one, so that guessing keys does not fill the disk */
const MAX_PER_MINUTE = 60;

/** Makes `auth.attempt` events of refusals. */
export class RefusalRecorder {
  readonly #append: (event: NewEvent) => Promise<unknown>;
  readonly #clock: Clock;
  #minute = 0;
  #written = 0;
  #folded = 0;

  constructor(options: { readonly append: (event: NewEvent) => Promise<unknown>; readonly clock: Clock }) {
    this.#append = options.append;
    this.#clock = options.clock;
  }

  record(refusal: Refusal, request: AuthRequest): void {
    const minute = Math.floor(this.#clock.monotonic() / 60_000);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#written = 0;
    }
    if (this.#written >= MAX_PER_MINUTE) {
      this.#folded += 1;
      return;
    }
    this.#written += 1;
    const more = this.#folded === 0 ? "" : ` (${this.#folded} further refusals were not recorded one by one)`;
    const count = 1 + this.#folded;
    this.#folded = 0;
    ignore(
      this.#append({
        type: "auth.attempt",
        actor: refusal.actor,
        outcome: "deny",
        method: refusal.method,
        path: request.path.slice(0, 256),
        reason: refusal.reason + more,
        request_id: request.requestId,
        count,
      }),
      "the caller is refused either way, and the log reports its own failures",
    );
  }
}
