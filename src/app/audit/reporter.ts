import { AppError, messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { EgressReporter } from "../../egress/gateway.ts";
import type { ChainedEventLog } from "../../events/log.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { Event, NewEvent, ShownBody } from "../../schema/event.ts";
import type { LedgerWriter } from "../llm/ledger-writer.ts";
import { redactEvent } from "./redact-event.ts";

/** Appends that may be under way before new exchanges are refused: the log is then slower than what happens. */
const MAX_PENDING = 20_000;
/** bytes of bodies that weigh as much as an event without one */
const BODY_WEIGHT = 2_048;

/** Every event's one way into the log and, for model calls, into the ledger. */
export class Reporter {
  readonly #events: ChainedEventLog;
  readonly #ledger: LedgerWriter;
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #onFailure: "deny" | "allow";
  readonly #pending = new Set<Promise<unknown>>();
  #weight = 0;

  constructor(options: { events: ChainedEventLog; ledger: LedgerWriter; metrics: Metrics; log: Log; onFailure: "deny" | "allow" }) {
    this.#events = options.events;
    this.#ledger = options.ledger;
    this.#metrics = options.metrics;
    this.#log = options.log;
    this.#onFailure = options.onFailure;
  }

  /** @throws AppError when it could not be written and `[audit].on_failure` is `deny` */
  readonly record = (event: NewEvent): Promise<Event> =>
    this.#events.append(redactEvent(event)).then(
      (appended) => {
        this.#appended(appended);
        return appended;
      },
      (error: unknown) => {
        this.#metrics.eventsFailed(error instanceof AppError ? error.code : "INTERNAL");
        throw error;
      },
    );

  /** What the gateway reports into; never waits, never throws. */
  readonly egress: EgressReporter = {
    exchange: (event) => this.#submit(event),
    decision: (event) => this.#submit(event),
    llm: (event) => this.#submit(event),
    finding: (event) => this.#submit(event),
    blocked: () => {
      if (this.#onFailure === "allow") return null;
      if (this.#weight >= MAX_PENDING) return "the audit log is slower than the traffic";
      const health = this.#events.health();
      return health.isWritable ? null : `the audit log cannot be written: ${health.reason}`;
    },
  };

  /** Resolves when everything submitted so far is written and booked. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
    this.#ledger.flush();
  }

  #appended(event: Event): void {
    this.#metrics.eventsAppended(event.type);
    if (event.type === "llm.call") this.#ledger.add(event);
  }

  #submit(event: NewEvent): void {
    const weight = weightOf(event);
    this.#weight += weight;
    const work = this.#events.append(redactEvent(event)).then(
      (appended) => {
        this.#pending.delete(work);
        this.#weight -= weight;
        this.#appended(appended);
      },
      (error: unknown) => {
        this.#pending.delete(work);
        this.#weight -= weight;
        this.#metrics.eventsFailed(error instanceof AppError ? error.code : "INTERNAL");
        this.#log.error("an event was not recorded", { type: event.type, error: messageOf(error) });
      },
    );
    this.#pending.add(work);
  }
}

function weightOf(event: NewEvent): number {
  const { request_body, response_body } = event as { readonly request_body?: ShownBody; readonly response_body?: ShownBody };
  return 1 + ((request_body?.content.length ?? 0) + (response_body?.content.length ?? 0)) / BODY_WEIGHT;
}
