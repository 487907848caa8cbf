import type { DeliveryMeter } from "../../metrics/metrics.ts";
import { setTimeout as delay } from "node:timers/promises";
import { background } from "../../base/background.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { ChainedEventLog } from "../log.ts";
import { ChainIndex } from "./chain-index.ts";
import { takeRequests } from "./requests.ts";
import { claimSink } from "./sink-owner.ts";
import { SinkRunner } from "./sink-runner.ts";
import { DELIVERY_TIMING, type DeliveryTiming, type Report, type SinkSpec, type SinkStatus } from "./sink-spec.ts";

export type DeliveryOptions = {
  readonly eventsDir: string;
  /** positions and dead letters; made when missing */
  readonly deliveryDir: string;
  /** this process's chain, which is followed without a look at the disk */
  readonly events: Pick<ChainedEventLog, "head" | "subscribe">;
  /** what delivery says about itself goes into the log like everything else */
  readonly report: Report;
  /** The right to deliver to a sink, which one process at a time has; undefined when another has it. */
  readonly takeLead: (sink: string) => Disposable | undefined;
  readonly meter: DeliveryMeter;
  readonly clock: Clock;
  readonly log: Log;
  readonly timing?: Partial<DeliveryTiming>;
  /** in [0, 1) */
  readonly random?: () => number;
  /** dead letters past which a sink pauses */
  readonly maxLetters?: number;
};

/**
 * Delivers all chains of a state directory to every sink, each with a cursor of its own, at least once and in order per chain. A
 * sink that is slow or dead holds up nobody: not the others, and not whoever appends, since everything is read from disk. Processes
 * share the sinks they have in common, one process for each, and deliver those that they have alone.
 */
export class DeliveryEngine implements AsyncDisposable {
  readonly #options: DeliveryOptions;
  readonly #timing: DeliveryTiming;
  readonly #index: ChainIndex;
  readonly #runners = new Map<string, SinkRunner>();
  readonly #stop = new AbortController();
  #specs: readonly SinkSpec[] = [];
  readonly #leads = new Map<string, Disposable>();
  /** why a sink that is ours is not delivered to */
  readonly #refused = new Map<string, string>();
  /** why a sink could not be begun at the last look */
  readonly #faults = new Map<string, string>();
  #unsubscribe: () => void = () => undefined;
  #loop: Promise<void> | undefined;
  /** one round at a time */
  #round: Promise<void> = Promise.resolve();

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#timing = { ...DELIVERY_TIMING, ...options.timing };
    this.#index = new ChainIndex(options.eventsDir);
  }

  /** Whether this process is the one that delivers to the sink, or refuses to. */
  leads(sink: string): boolean {
    return this.#leads.has(sink) || this.#refused.has(sink);
  }

  /**
   * Begins, or goes on with other sinks: each is opened anew, and those that were paused are tried again. With `keepsEqual` those
   * whose `fingerprint` is the same are left alone.
   */
  async configure(specs: readonly SinkSpec[], { keepsEqual = false } = {}): Promise<void> {
    await this.#alone(async () => {
      this.#specs = specs;
      const next = new Map(specs.map((spec) => [spec.name, spec.fingerprint]));
      const ending = [...this.#runners].filter(
        ([name, { spec }]) => !keepsEqual || spec.fingerprint === undefined || next.get(name) !== spec.fingerprint,
      );
      await Promise.all(ending.map(([, runner]) => runner.stop()));
      for (const [name] of ending) this.#drop(name);
      for (const name of [...this.#leads.keys()]) if (!this.#runners.has(name)) this.#drop(name);
      this.#refused.clear();
      this.#faults.clear();
    });
    if (this.#stop.signal.aborted) return;
    await this.#look();
    if (this.#loop !== undefined) return;
    const { events } = this.#options;
    this.#unsubscribe = events.subscribe(() => this.#noteOwn());
    this.#loop = this.#run();
    background("delivery", this.#loop, this.#options.log);
  }

  /** Asks operators' requests and other processes' chains now, instead of at the next look. */
  async look(): Promise<void> {
    await this.#look();
  }

  /** Waits until every sink has everything or does not get on, at most so long. */
  async drain(deadlineMs: number): Promise<void> {
    await this.#look();
    await Promise.all([...this.#runners.values()].map((runner) => runner.drain(deadlineMs)));
  }

  status(): readonly SinkStatus[] {
    return this.#specs.map(
      (spec) => this.#runners.get(spec.name)?.status() ?? stopped(spec, this.#refused.get(spec.name) ?? this.#faults.get(spec.name)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#unsubscribe();
    await this.#loop;
    await this.#alone(async () => {
      await Promise.all([...this.#runners.values()].map((runner) => runner.stop()));
      for (const name of [...this.#leads.keys()]) this.#drop(name);
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await delay(this.#timing.pollMs, undefined, { signal }).catch(() => "ended: seen by the loop");
      if (!signal.aborted) await this.#look();
    }
  }

  #look(): Promise<void> {
    return this.#alone(async () => {
      try {
        if (this.#specs.length === 0 || this.#stop.signal.aborted) return;
        const starting = await this.#lead();
        if (this.#leads.size === 0) return;
        // before there is a runner nothing is known to be delivered
        await this.#index.refresh((chain) => starting.length > 0 || this.#isWanted(chain));
        this.#noteOwn();
        await this.#startRunners(starting);
        await this.#handleRequests();
        for (const runner of this.#runners.values()) {
          runner.wake();
          const { lag, oldestMs, state } = runner.status();
          this.#options.meter.gauges(runner.spec.name, {
            lag,
            oldestSeconds: oldestMs / 1000,
            isFailing: state === "failing" || state === "paused",
            isPaused: state === "paused",
          });
        }
      } catch (error) {
        this.#options.log.error("the event log could not be looked at for delivery", { error: messageOf(error) });
      }
    });
  }

  #isWanted(chain: string): boolean {
    for (const runner of this.#runners.values()) if (runner.wants(chain)) return true;
    return false;
  }

  /** Sinks that this process delivers to from now on. */
  async #lead(): Promise<readonly SinkSpec[]> {
    const { deliveryDir, takeLead, log } = this.#options;
    const starting: SinkSpec[] = [];
    for (const spec of this.#specs) {
      const { name, owner } = spec;
      if (this.#runners.has(name) || this.#refused.has(name)) continue;
      await this.#apart(name, async () => {
        const lead = this.#leads.get(name) ?? takeLead(name);
        if (lead === undefined) return;
        this.#leads.set(name, lead);
        const refusal = owner === undefined ? undefined : await claimSink(deliveryDir, name, owner);
        if (refusal === undefined) {
          starting.push(spec);
          return;
        }
        this.#drop(name);
        this.#refused.set(name, refusal);
        log.error("a sink is not delivered to", { sink: name, reason: refusal });
      });
    }
    return starting;
  }

  #drop(name: string): void {
    this.#runners.delete(name);
    this.#leads.get(name)?.[Symbol.dispose]();
    this.#leads.delete(name);
  }

  /** What fails for one sink (its folder, its lock) is tried again at the next look, and costs no other sink anything. */
  async #apart(sink: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const reason = messageOf(error);
      if (this.#faults.get(sink) !== reason) this.#options.log.error("a sink cannot be delivered to now", { sink, error: reason });
      this.#faults.set(sink, reason);
    }
  }

  async #startRunners(specs: readonly SinkSpec[]): Promise<void> {
    for (const spec of specs) await this.#apart(spec.name, () => this.#startRunner(spec));
  }

  async #startRunner(spec: SinkSpec): Promise<void> {
    const { eventsDir, deliveryDir, clock, log, meter, report, random = Math.random, maxLetters } = this.#options;
    const runner = await SinkRunner.start({
      spec,
      eventsDir,
      deliveryDir,
      index: this.#index,
      timing: this.#timing,
      clock,
      log,
      meter,
      report,
      random,
      ...(maxLetters === undefined ? {} : { maxLetters }),
    });
    this.#runners.set(spec.name, runner);
    this.#faults.delete(spec.name);
  }

  async #handleRequests(): Promise<void> {
    const { deliveryDir } = this.#options;
    for (const [name, runner] of this.#runners)
      await this.#apart(name, () => takeRequests(deliveryDir, name, (request) => runner.handle(request)));
  }

  #noteOwn(): void {
    const { chain, seq } = this.#options.events.head();
    this.#index.note(chain, seq);
    for (const runner of this.#runners.values()) runner.wake();
  }

  #alone(work: () => Promise<void>): Promise<void> {
    this.#round = this.#round.then(work, work);
    return this.#round;
  }
}

function stopped({ name, kind, type }: SinkSpec, reason: string | undefined): SinkStatus {
  const nothing = { lag: 0, oldestMs: 0, delivered: 0, retries: 0, deadLetters: 0, dropped: 0 };
  return { name, kind, type, state: "stopped", ...nothing, ...(reason === undefined ? {} : { lastError: reason }) };
}
