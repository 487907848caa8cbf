import type { DecisionRecord } from "./sandbox-side.ts";

const MAX_KEYS = 64;

/** Turns a flood of equal decisions into one event at once and one with a count later, so that a sandbox cannot drown the audit. */
export class DecisionFolder {
  readonly #report: (event: DecisionRecord) => void;
  readonly #held = new Map<string, { readonly event: DecisionRecord; count: number }>();

  constructor(report: (event: DecisionRecord) => void) {
    this.#report = report;
  }

  add(event: DecisionRecord): void {
    // the sandbox chooses names freely; decisions that differ in nothing else are equal
    const reason = event.host === undefined ? event.reason : event.reason.replaceAll(event.host, "");
    let key = `${event.protocol} ${event.rule} ${reason} ${event.decision}`;
    let held = this.#held.get(key);
    if (held === undefined) {
      // reasons are few; if they are not, all further ones count as one
      if (this.#held.size >= MAX_KEYS) key = "other";
      held = this.#held.get(key);
    }
    if (held === undefined) {
      this.#held.set(key, { event, count: 0 });
      this.#report(event);
    } else {
      held.count += 1;
    }
  }

  /** Reports what was held back; called every few seconds and at the end. */
  flush(): void {
    for (const { event, count } of this.#held.values()) if (count > 0) this.#report({ ...event, count });
    this.#held.clear();
  }
}
