import { ignore } from "../base/background.ts";
import type { Clock } from "../base/clock.ts";
import type { NewEvent } from "../schema/event.ts";
import type { AuthRequest, Refusal } from "./auth.ts";

/** events a minute; what comes beyond is counted, so that guessing keys does not fill the disk */
const MAX_PER_MINUTE = 60;
const MINUTE_MS = 60_000;

type Refused = { readonly refusal: Refusal; readonly request: AuthRequest; readonly count: number };

/**
 * Makes `auth.attempt` events of refusals: one for each, up to 60 in a minute, and of those beyond one for each address when the
 * minute is over or the server ends, whether or not anybody is refused afterwards. Of more than 60 addresses the rest share one.
 */
export class RefusalRecorder implements Disposable {
  readonly #append: (event: NewEvent) => Promise<unknown>;
  readonly #clock: Clock;
  #minute = Number.NaN;
  #written = 0;
  /** by address */
  readonly #beyond = new Map<string, Refused>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { readonly append: (event: NewEvent) => Promise<unknown>; readonly clock: Clock }) {
    this.#append = options.append;
    this.#clock = options.clock;
  }

  record(refusal: Refusal, request: AuthRequest): void {
    const now = this.#clock.monotonic();
    const minute = Math.floor(now / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#writeBeyond();
      this.#minute = minute;
      this.#written = 0;
    }
    if (this.#written < MAX_PER_MINUTE) {
      this.#written += 1;
      this.#write({ refusal, request, count: 1 });
      return;
    }
    const address = refusal.actor.ip_address ?? "";
    const key = this.#beyond.has(address) || this.#beyond.size < MAX_PER_MINUTE ? address : "others";
    this.#beyond.set(key, { refusal, request, count: 1 + (this.#beyond.get(key)?.count ?? 0) });
    this.#timer ??= setTimeout(() => this.#writeBeyond(), (minute + 1) * MINUTE_MS - now).unref();
  }

  [Symbol.dispose](): void {
    this.#writeBeyond();
  }

  #writeBeyond(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const refused of this.#beyond.values()) this.#write(refused);
    this.#beyond.clear();
  }

  #write({ refusal, request, count }: Refused): void {
    const more = count === 1 ? "" : ` (the last of ${count} that were not recorded one by one)`;
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
