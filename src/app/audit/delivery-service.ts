import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { background } from "../../base/background.ts";
import { type Clock, timestamp } from "../../base/clock.ts";
import { AppError } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { streamName } from "../../config/stream-name.ts";
import type { StatePaths } from "../../config/paths.ts";
import type { DeadLetter } from "../../events/delivery/dead-letters.ts";
import type { DeliveryEngine } from "../../events/delivery/engine.ts";
import type { DeliveryRequest } from "../../events/delivery/requests.ts";
import type { SinkSpec, SinkStatus } from "../../events/delivery/sink-spec.ts";
import type { FindLagging } from "../../events/delivery/undelivered.ts";
import type { ChainedEventLog } from "../../events/log.ts";
import type { TextWriter } from "../../events/sinks/stdout.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { StreamStatus } from "../../schema/delivery.ts";
import type { NewEvent } from "../../schema/event.ts";
import type { Config } from "../../schema/settings.ts";
import { withoutBodies } from "../../schema/shown-body.ts";
import { ProcessLock } from "../../store/process-lock.ts";
import type { Caller } from "../facade.ts";
import type { FindSecret } from "../secrets/find-secret.ts";

export type DeliveryServiceOptions = {
  readonly paths: StatePaths;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly hostname: string;
  readonly stdout: TextWriter | undefined;
  /** it stays: it delivers from the start; others begin when they have lived for a moment, and at their end */
  readonly isServer: boolean;
  readonly clock: Clock;
  readonly log: Log;
};

type Attached = {
  /** sinks beside the streams of the configuration; `revision` changes with them */
  readonly hooks: {
    readonly revision: string;
    names(): readonly { readonly name: string; readonly type: string }[];
    specs(): Promise<readonly SinkSpec[]>;
  };
  readonly events: ChainedEventLog;
  readonly report: (event: NewEvent) => Promise<unknown>;
  readonly secret: FindSecret;
};

/** ms that the end of a process waits for receivers: what they have not had then, the next process delivers */
const DRAIN_MS = { server: 5_000, other: 2_000 };
/** ms after which a process that is no server delivers while it runs */
const SOON_MS = 500;
/** ms between looks whether another process changed the hooks */
const WATCH_MS = 1_000;

/**
 * Delivery as the app owns it. It is disposed of after the event log is closed, so that the log's last events are delivered too;
 * `drain` comes before that, while what is said about deliveries can still be recorded.
 */
export class DeliveryService implements AsyncDisposable {
  readonly #options: DeliveryServiceOptions;
  #config: Config;
  #attached: Attached | undefined;
  #engine: Promise<DeliveryEngine> | undefined;
  #ready: DeliveryEngine | undefined;
  #soon: NodeJS.Timeout | undefined;
  #drainUntil: number | undefined;
  #revision = "";
  #watch: NodeJS.Timeout | undefined;

  constructor(options: DeliveryServiceOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** Begins, for a server at once. */
  async attach(attached: Attached): Promise<void> {
    this.#attached = attached;
    const { isServer, log } = this.#options;
    this.#revision = attached.hooks.revision;
    // hooks that another process registered hold here as well
    this.#watch = setInterval(() => {
      background("hooks", this.#follow(attached), log);
    }, WATCH_MS).unref();
    if (!this.#hasSinks()) return;
    if (isServer) await this.#start();
    else this.#soon = setTimeout(() => background("delivery", this.#start(), log), SOON_MS).unref();
  }

  /** The configuration was read again: sinks come and go, the others are opened anew. */
  async reload(config: Config): Promise<void> {
    this.#config = config;
    if (this.#engine === undefined && !this.#hasSinks()) return;
    const engine = await this.#start();
    await engine.configure(await this.#specs());
  }

  /** Asynchronous, so that a store that cannot be read for a moment rejects: what throws in a timer ends the process. */
  async #follow({ hooks }: Attached): Promise<void> {
    if (hooks.revision !== this.#revision) await this.refresh();
  }

  /** Hooks came or went; everything else is left alone. */
  async refresh(): Promise<void> {
    this.#revision = this.#attached?.hooks.revision ?? "";
    if (this.#engine === undefined && !this.#hasSinks()) return;
    const isNew = this.#engine === undefined;
    const engine = await this.#start();
    if (!isNew) await engine.configure(await this.#specs(), { keepsEqual: true });
  }

  /** Who has not received what, for retention; whichever process delivers. */
  readonly lagging = async (): Promise<FindLagging> => {
    const [{ readLagging }, { foreignSinks }] = await Promise.all([
      import("../../events/delivery/undelivered.ts"),
      import("../../events/delivery/sink-owner.ts"),
    ]);
    const { paths, clock } = this.#options;
    const own = this.#names(false);
    const others = await foreignSinks(paths.delivery, this.#config.file, clock.now());
    return readLagging(paths.delivery, [...new Set([...own, ...others])]);
  };

  async drain(): Promise<void> {
    clearTimeout(this.#soon);
    clearInterval(this.#watch);
    if (this.#attached === undefined || !this.#hasSinks()) return;
    const { clock, isServer } = this.#options;
    this.#drainUntil ??= clock.monotonic() + (isServer ? DRAIN_MS.server : DRAIN_MS.other);
    const engine = await this.#start();
    await engine.drain(Math.max(0, this.#drainUntil - clock.monotonic()));
  }

  /** Of the streams; hooks show theirs themselves. */
  status(): readonly StreamStatus[] {
    return this.#config.audit.streams.map((stream) => this.statusOf(streamName(stream), stream.destination.type));
  }

  /** @throws NOT_FOUND for a sink there is not */
  async deadLetters(name: string, limit: number): Promise<readonly DeadLetter[]> {
    this.#check(name);
    const { readDeadLetters } = await import("../../events/delivery/dead-letters.ts");
    const letters = await readDeadLetters(this.#options.paths.delivery, name, limit);
    return letters.map((letter) => ({ ...letter, event: withoutBodies(letter.event) }));
  }

  /** Recorded, then done by whichever process delivers. @throws NOT_FOUND for a sink there is not */
  async request(caller: Caller, name: string, request: DeliveryRequest): Promise<void> {
    this.#check(name);
    await this.#attached?.report({
      type: "admin.change",
      outcome: "permit",
      actor: caller.actor,
      ...(caller.requestId === undefined ? {} : { request_id: caller.requestId }),
      resource_type: name.startsWith("hook@") ? "hook" : "stream",
      resource_id: name.replace(/^hook@/, ""),
      operation: request.kind === "purge_dead" ? "delete" : "update",
      reason: describe(request),
    });
    const { placeRequest } = await import("../../events/delivery/requests.ts");
    await placeRequest(this.#options.paths.delivery, name, request);
    if (this.#ready?.leads(name) === true) await this.#ready.look();
  }

  statusOf(name: string, type: string): StreamStatus {
    const found = this.#ready?.leads(name) === true ? this.#ready.status().find((sink) => sink.name === name) : undefined;
    return found === undefined ? elsewhere(name, type) : shownStatus(found);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#soon);
    clearInterval(this.#watch);
    if (this.#engine === undefined) return;
    const engine = await this.#engine;
    if (this.#drainUntil !== undefined) await engine.drain(Math.max(0, this.#drainUntil - this.#options.clock.monotonic()));
    await engine[Symbol.asyncDispose]();
  }

  #hasSinks(): boolean {
    return this.#names(true).length > 0;
  }

  /** `withStdout` false: only those that keep what they get */
  #names(withStdout: boolean): readonly string[] {
    const { stdout } = this.#options;
    const streams = this.#config.audit.streams.filter(
      ({ destination }) => destination.type !== "stdout" || (withStdout && stdout !== undefined),
    );
    return [...streams.map(streamName), ...this.#hookNames()];
  }

  #hookNames(): readonly string[] {
    return (this.#attached?.hooks.names() ?? []).map(({ name }) => name);
  }

  #check(name: string): void {
    const streams = this.#config.audit.streams.map(streamName);
    if (streams.includes(name) || this.#hookNames().includes(name)) return;
    throw new AppError("NOT_FOUND", `there is no stream ${JSON.stringify(name.slice(0, 80))}`, {
      hint: streams.length === 0 ? "[[audit.streams]] of the configuration has none" : `there are: ${streams.join(", ")}`,
    });
  }

  #start(): Promise<DeliveryEngine> {
    this.#engine ??= this.#make();
    return this.#engine;
  }

  async #make(): Promise<DeliveryEngine> {
    const { paths, metrics, clock, log } = this.#options;
    if (this.#attached === undefined) throw new AppError("INTERNAL", "delivery was started before there was a log");
    const { events, report } = this.#attached;
    const { DeliveryEngine } = await import("../../events/delivery/engine.ts");
    await mkdir(paths.deliveryLocks, { recursive: true, mode: 0o700 });
    const engine = new DeliveryEngine({
      eventsDir: paths.events,
      deliveryDir: paths.delivery,
      events,
      report,
      takeLead: (sink) => ProcessLock.take(join(paths.deliveryLocks, `${sink}.lock`)),
      meter: metrics.delivery,
      clock,
      log: log.child({ part: "delivery" }),
    });
    await engine.configure(await this.#specs());
    this.#ready = engine;
    return engine;
  }

  async #specs(): Promise<readonly SinkSpec[]> {
    const { stdout, hostname, clock } = this.#options;
    const { streamSpecs } = await import("./stream-sinks.ts");
    const secret = this.#attached?.secret ?? (() => Promise.reject(new Error("no secrets yet")));
    const streams = streamSpecs(this.#config.audit.streams, { config: this.#config.file, secret, stdout, hostname, clock });
    return [...streams, ...((await this.#attached?.hooks.specs()) ?? [])];
  }
}

function describe(request: DeliveryRequest): string {
  switch (request.kind) {
    case "resume":
      return "resumed";
    case "replay":
      return `everything since ${timestamp(request.sinceMs)} is to be sent again`;
    case "replay_dead":
      return "dead letters are to be sent again";
    case "purge_dead":
      return "dead letters are to be removed";
    default:
      return request satisfies never;
  }
}

function shownStatus(status: SinkStatus): StreamStatus {
  const { name, type, state, lag, oldestMs, delivered, retries, deadLetters, dropped, lastSuccessMs, lastError } = status;
  return {
    name,
    type,
    state,
    lag,
    oldest_unacked_age_s: Math.round(oldestMs) / 1000,
    delivered,
    retries,
    dead_letters: deadLetters,
    dropped,
    last_success: lastSuccessMs === undefined ? null : timestamp(lastSuccessMs),
    last_error: lastError ?? null,
  };
}

function elsewhere(name: string, type: string): StreamStatus {
  return {
    name,
    type,
    state: "elsewhere",
    lag: 0,
    oldest_unacked_age_s: 0,
    delivered: 0,
    retries: 0,
    dead_letters: 0,
    dropped: 0,
    last_success: null,
    last_error: null,
  };
}
