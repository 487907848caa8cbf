import { ignore } from "../base/background.ts";
import type { Clock } from "../base/clock.ts";
import type { Actor, NewEvent } from "../schema/event.ts";
import type { Admission, AuthRequest } from "./auth.ts";

/** ms without a request after which a caller's next one is a new session */
const SILENCE_MS = 15 * 60_000;
/** ms after which a session that never pauses is recorded again */
const SESSION_MS = 60 * 60_000;
/** ms between two records of one caller, whatever is refused meanwhile: who guesses keys must not fill the disk */
const MIN_GAP_MS = 60_000;
/** callers that are told apart; who is forgotten is recorded again */
const MAX_SESSIONS = 1_000;

type Session = {
  readonly address: string | undefined;
  readonly recordedAt: number;
  lastAt: number;
  unrecorded: number;
  hasRefusal: boolean;
};

/**
 * Makes `auth.attempt` events of callers that were let in: one for each session, which is one credential from one address by one way
 * in, until it is silent for 15 minutes, lasts an hour, or somebody was refused at that address. `count` says how many requests
 * since the record before an event stands for.
 */
export class AdmissionRecorder {
  readonly #append: (event: NewEvent) => Promise<unknown>;
  readonly #clock: Clock;
  /** the one seen longest ago comes first */
  readonly #sessions = new Map<string, Session>();

  constructor(options: { readonly append: (event: NewEvent) => Promise<unknown>; readonly clock: Clock }) {
    this.#append = options.append;
    this.#clock = options.clock;
  }

  /** Before the request is handled: what it does comes after this in the log, and is durable no sooner. */
  record({ actor, method }: Admission, request: AuthRequest): void {
    const now = this.#clock.monotonic();
    const id = JSON.stringify([request.transport, method, actor.kind, actor.user_id, actor.ip_address ?? ""]);
    const known = this.#sessions.get(id);
    this.#sessions.delete(id);
    if (known !== undefined && !isOver(known, now)) {
      known.lastAt = now;
      known.unrecorded += 1;
      this.#sessions.set(id, known);
      return;
    }
    if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value ?? "");
    this.#sessions.set(id, { address: actor.ip_address, recordedAt: now, lastAt: now, unrecorded: 0, hasRefusal: false });
    ignore(
      this.#write(eventOf({ actor, method }, request, 1 + (known?.unrecorded ?? 0))).catch((error: unknown) => {
        // the next request of this caller tries again
        this.#sessions.delete(id);
        throw error;
      }),
      "what needs a record to happen fails at its own, which comes after this one; looking at a server with a broken log must go on",
    );
  }

  /** The next success from there may be a guess that was right. */
  refused({ ip_address }: Actor): void {
    for (const session of this.#sessions.values()) if (session.address === ip_address) session.hasRefusal = true;
  }

  // a log that refuses may throw at once
  async #write(event: NewEvent): Promise<void> {
    await this.#append(event);
  }
}

function isOver({ recordedAt, lastAt, hasRefusal }: Session, now: number): boolean {
  return now - lastAt >= SILENCE_MS || now - recordedAt >= SESSION_MS || (hasRefusal && now - recordedAt >= MIN_GAP_MS);
}

function eventOf({ actor, method }: Admission, { path, requestId }: AuthRequest, count: number): NewEvent {
  return { type: "auth.attempt", actor, outcome: "permit", method, path: path.slice(0, 256), request_id: requestId, count };
}
