import { setImmediate as turn } from "node:timers/promises";
import { background } from "../../base/background.ts";
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";

const HOUR_MS = 3_600_000;
/** ms after the start, when nobody waits for it any more; a server that was started for one command lives a few minutes only */
const FIRST_MS = 30_000;

export type CallPrunerOptions = {
  readonly ledger: { pruneCalls(beforeMs: number): number };
  /** how long single calls are kept, as the configuration in force says */
  readonly keepMs: () => number;
  readonly clock: Clock;
  readonly log: Log;
};

/** Forgets single model calls that are too old, soon after the start and once an hour and in batches between which everything else has its turn. */
export class CallPruner implements AsyncDisposable {
  readonly #options: CallPrunerOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #first: NodeJS.Timeout;
  #ending = false;
  #running: Promise<void> | undefined;

  constructor(options: CallPrunerOptions) {
    this.#options = options;
    this.#first = setTimeout(() => this.#begin(), FIRST_MS).unref();
    this.#timer = setInterval(() => this.#begin(), HOUR_MS).unref();
  }

  /** Forgets what is too old by now. Returns how many calls. */
  async prune(): Promise<number> {
    const { ledger, keepMs, clock } = this.#options;
    const before = clock.now() - keepMs();
    for (let all = 0; ; ) {
      const forgotten = this.#ending ? 0 : ledger.pruneCalls(before);
      if (forgotten === 0) return all;
      all += forgotten;
      await turn();
    }
  }

  #begin(): void {
    if (this.#running !== undefined) return;
    const running = this.#pruneAndSay().finally(() => (this.#running = undefined));
    this.#running = running;
    background("forget old model calls", running, this.#options.log);
  }

  async #pruneAndSay(): Promise<void> {
    const calls = await this.prune();
    if (calls > 0) this.#options.log.info("old model calls were forgotten; their sums stay", { calls });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending = true;
    clearTimeout(this.#first);
    clearInterval(this.#timer);
    await this.#running?.catch(() => "it was reported where it was begun");
  }
}
