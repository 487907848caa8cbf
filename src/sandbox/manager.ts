import { join } from "node:path";
import { background, ignore } from "../base/background.ts";
import { timestamp } from "../base/clock.ts";
import { AppError, messageOf } from "../base/error.ts";
import { KeyedMutex } from "../base/keyed-mutex.ts";
import { removeTree } from "../base/remove-tree.ts";
import type { Backend, EndReason, ExecRequest } from "./backend.ts";
import { DetachedExecs } from "./detached.ts";
import { announceExec, type AnnouncedExec, type ExecContext, launchExec, type SandboxExec, withdrawExec } from "./exec.ts";
import { copyOf, removeFolders, type StartOptions } from "./folders.ts";
import { INSIDE } from "./inside.ts";
import type { LiveSandbox } from "./live.ts";
import type { ExecCall, ManagerOptions, RemoveOptions, StopOutcome } from "./manager-options.ts";
import type { SandboxRecord } from "./record.ts";
import { cancelled, elsewhere } from "./refusals.ts";
import { type Started, startSandbox } from "./start.ts";
import { type Asker, subjectOf, SYSTEM, workspaceEventOf } from "./subject.ts";
import { WorkspaceCopySession, type WorkspaceResult } from "./workspace/session.ts";

type Entry = {
  readonly live: LiveSandbox;
  readonly env: Readonly<Record<string, string>>;
  readonly detached: DetachedExecs;
  readonly copy: WorkspaceCopySession | undefined;
};

const KEPT = 256;

type Halt = {
  readonly workspace: WorkspaceResult | undefined;
  readonly recorded: Promise<unknown>;
  readonly reason: EndReason | undefined;
};

/** All sandboxes of this process: their states, their lifecycle, one operation per sandbox at a time. */
export class SandboxManager implements AsyncDisposable {
  readonly #options: ManagerOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #turns = new KeyedMutex();
  /** workspaces of the sandboxes that were removed last: whoever comes second (`run`, after the time of its sandbox was over) asks */
  readonly #kept = new Map<string, WorkspaceResult>();
  /** aborted when this process ends: what is being started then is given up */
  readonly #closing = new AbortController();

  constructor(options: ManagerOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#entries.size;
  }

  /** Uuids of what runs in this process. */
  isRunning(uuid: string): boolean {
    return this.#entries.has(uuid);
  }

  /** Takes a new record, makes and starts its sandbox. Nothing is left behind when it fails. */
  async create(asker: Asker, record: SandboxRecord, options: StartOptions): Promise<SandboxRecord> {
    try {
      this.#refuseWhenClosing();
      this.#options.repository.insert(record);
    } catch (error) {
      await this.#options.forget(record);
      throw error;
    }
    return this.#turns.run(record.uuid, async () => {
      try {
        await this.#launch(asker, record, "create", options);
      } catch (error) {
        await this.#erase(record);
        throw error;
      }
      return this.#current(record);
    });
  }

  async start(asker: Asker, name: string, signal: AbortSignal): Promise<SandboxRecord> {
    this.#refuseWhenClosing();
    const found = this.find(name);
    return this.#turns.run(found.uuid, async () => {
      const record = this.#current(found);
      if (this.#entries.has(record.uuid)) return record;
      if (!this.#options.repository.claim(record.uuid, "creating")) throw elsewhere(record);
      try {
        await this.#launch(asker, record, "start", { signal });
      } catch (error) {
        this.#options.repository.update(record.uuid, { state: "failed", reason: messageOf(error) });
        throw error;
      }
      return this.#current(record);
    });
  }

  /** Ends the sandbox; home and workspace stay. `apply`: write a copied workspace back. */
  async stop(asker: Asker, name: string, options: { readonly apply: boolean; readonly reason?: EndReason }): Promise<StopOutcome> {
    const found = this.find(name);
    return this.#turns.run(found.uuid, async () => {
      const record = this.#current(found);
      const { workspace, recorded, reason } = await this.#halt(asker, record, options);
      // not before its files are settled: another process may start or remove what is stopped; and also when its end could not be recorded
      const settle = (reason: EndReason) => this.#options.repository.update(record.uuid, { state: "stopped", reason: reason.message });
      await recorded.finally(() => reason !== undefined && settle(reason));
      return { record: this.#options.repository.byUuid(record.uuid) ?? record, workspace };
    });
  }

  /** Ends and forgets it; a second call for one that is going waits for the first. */
  async remove(asker: Asker, { uuid }: Pick<SandboxRecord, "uuid">, options: RemoveOptions): Promise<WorkspaceResult | undefined> {
    return this.#turns.run(uuid, async () => {
      const record = this.#options.repository.byUuid(uuid);
      if (record === undefined) return this.#kept.get(uuid);
      if (options.unless?.(record) === true) return undefined;
      const startedAt = this.#options.clock.now();
      const { workspace, recorded } = await this.#halt(asker, record, options);
      if (options.keepChanged === true && workspace?.keptAt !== undefined) {
        await recorded;
        const reason = "it ended early; its workspace copy holds changes";
        this.#options.repository.update(uuid, { state: "stopped", isEphemeral: false, reason });
        return workspace;
      }
      const removal = this.#options.report({
        ...this.#about(asker, record),
        operation: "remove",
        outcome: "permit",
        duration_ms: this.#options.clock.now() - startedAt,
      });
      await Promise.all([recorded, removal]);
      this.#options.metrics.removeSandbox(record.name);
      await this.#erase(record, workspace?.keptAt !== undefined);
      if (workspace !== undefined) this.#remember(uuid, workspace);
      return workspace;
    });
  }

  /** Moves the time at which it ends by itself. */
  async extend(asker: Asker, record: SandboxRecord, expiresAt: number): Promise<void> {
    this.#options.repository.update(record.uuid, { expiresAt });
    await this.#options.report({
      ...this.#about(asker, record),
      operation: "extend",
      outcome: "permit",
      reason: `ends at ${timestamp(expiresAt)}`,
    });
  }

  /** Writes back a copy that was kept when its sandbox ended. */
  async applyKept(asker: Asker, record: SandboxRecord): Promise<WorkspaceResult> {
    const workspace = await new WorkspaceCopySession(record.workspace?.path ?? "", this.#dir(record.uuid)).finish(true);
    await this.#options.report(workspaceEventOf(asker, record, workspace));
    if (workspace.keptAt === undefined && this.#options.repository.byUuid(record.uuid) === undefined) {
      await removeTree(this.#dir(record.uuid));
    }
    return workspace;
  }

  /** Makes a sandbox for a command, whose launch is recorded meanwhile, and starts it. */
  async createFor(asker: Asker, record: SandboxRecord, call: ExecCall, options: StartOptions): Promise<SandboxExec> {
    const announced = announceExec(this.#recording(asker, record), requestOf(call));
    try {
      await this.create(asker, record, options);
    } catch (error) {
      await withdrawExec(this.#recording(asker, record), announced, error);
      throw error;
    }
    return this.exec(asker, record.name, call, options.signal, announced);
  }

  async exec(asker: Asker, name: string, call: ExecCall, signal: AbortSignal, announced?: AnnouncedExec): Promise<SandboxExec> {
    const record = this.find(name);
    const entry = this.#running(record);
    const context: ExecContext = {
      ...this.#recording(asker, record),
      launch: (request, options) => entry.live.exec(request, options),
      ended: entry.live.ended,
    };
    const options = { signal, announced, ...(call.timeoutMs === undefined ? {} : { timeoutMs: call.timeoutMs }) };
    return launchExec(context, { ...requestOf(call), env: { ...entry.env, ...call.env } }, options);
  }

  /** Detached commands of a sandbox, those of earlier starts among them. */
  detached(name: string): DetachedExecs {
    const record = this.find(name);
    return this.#entries.get(record.uuid)?.detached ?? this.#detachedOf(record);
  }

  /** Why it ended, once it has. */
  ended(name: string): Promise<EndReason> {
    return this.#running(this.find(name)).live.ended;
  }

  /** @throws NOT_FOUND */
  find(name: string): SandboxRecord {
    const record = this.#options.repository.byName(name);
    if (record === undefined)
      throw new AppError("NOT_FOUND", `there is no sandbox ${name}`, { hint: "agentkernel ls shows those that exist" });
    return record;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new AppError("CONFLICT", "agentkernel is shutting down"));
    // what is under way ends, either way, before what runs is ended
    await this.#turns.idle();
    const reason: EndReason = { kind: "stopped", message: "agentkernel ended" };
    await Promise.allSettled(
      [...this.#entries.keys()].map(async (uuid) => {
        const record = this.#options.repository.byUuid(uuid);
        if (record?.isEphemeral === true) await this.remove(SYSTEM, record, { apply: false, reason, keepChanged: true });
        else if (record !== undefined) await this.stop(SYSTEM, record.name, { apply: false, reason });
      }),
    );
  }

  async #launch(asker: Asker, record: SandboxRecord, operation: "create" | "start", options: StartOptions): Promise<void> {
    const signal = AbortSignal.any([options.signal, this.#closing.signal]);
    const startedAt = this.#options.clock.now();
    const about = { ...this.#about(asker, record), operation };
    // written while the backend works; nothing runs in it before both are done
    const recorded = this.#options.report({ ...about, outcome: "permit" });
    ignore(recorded, "awaited below, but its failure may come before that");
    try {
      const starter = { ...this.#options, backend: this.#backend(record), dir: this.#dir(record.uuid) };
      const started = await startSandbox(starter, record, { ...options, signal }, async (enforcedBy) => {
        await recorded;
        signal.throwIfAborted();
        this.#options.repository.update(record.uuid, { state: "running", reason: "", enforcedBy });
      });
      this.#enter(record, started);
      this.#options.metrics.sandboxStarted({ backend: record.backend, seconds: (this.#options.clock.now() - startedAt) / 1000 });
    } catch (thrown) {
      const error = signal.aborted && !(thrown instanceof AppError) ? cancelled(signal, thrown) : thrown;
      this.#options.metrics.sandboxStartFailed({ backend: record.backend, code: error instanceof AppError ? error.code : "INTERNAL" });
      await this.#options.report({
        ...about,
        outcome: "error",
        reason: messageOf(error),
        ...(error instanceof AppError ? { error_code: error.code } : {}),
        duration_ms: this.#options.clock.now() - startedAt,
      });
      throw error;
    }
  }

  #enter(record: SandboxRecord, { live, env, copy }: Started): void {
    this.#options.detached.failRunning(record.uuid);
    this.#entries.set(record.uuid, { live, env, detached: this.#detachedOf(record), copy });
    this.#count();
    background("sandbox end", this.#watch(record, live), this.#options.log);
  }

  /** Marks a sandbox that ended by itself, and records it. */
  async #watch(record: SandboxRecord, live: LiveSandbox): Promise<void> {
    const reason = await live.ended;
    if (this.#entries.get(record.uuid)?.live !== live) return;
    this.#entries.delete(record.uuid);
    this.#count();
    this.#options.metrics.sandboxEnded({ backend: record.backend, reason: reason.kind });
    this.#options.repository.update(record.uuid, { state: "stopped", reason: reason.message });
    await this.#options.report({ ...this.#about(SYSTEM, record), operation: "end", outcome: "info", reason: reason.message });
  }

  /** Ends what runs, and settles its workspace; `reason` when something ran. Its end is being `recorded`: awaited before it is `stopped`, or gone. */
  async #halt(asker: Asker, record: SandboxRecord, options: { readonly apply: boolean; readonly reason?: EndReason }): Promise<Halt> {
    const entry = this.#entries.get(record.uuid);
    if (entry === undefined && this.#isElsewhere(record.uuid)) throw elsewhere(record);
    const reason = options.reason ?? { kind: "stopped", message: `stopped by ${asker.actor.user_id}` };
    let recorded: Promise<unknown> = Promise.resolve();
    if (entry !== undefined) {
      const startedAt = this.#options.clock.now();
      // forgotten first: the watcher then leaves state and event to us
      this.#entries.delete(record.uuid);
      this.#options.repository.update(record.uuid, { state: "stopping" });
      await entry.live.stop(reason);
      await entry.detached.settled();
      this.#count();
      this.#options.metrics.sandboxEnded({ backend: record.backend, reason: reason.kind });
      const duration = this.#options.clock.now() - startedAt;
      const event = { ...this.#about(asker, record), operation: "stop" as const, outcome: "permit" as const };
      recorded = this.#options.report({ ...event, reason: reason.message, duration_ms: duration });
      ignore(recorded, "awaited by the caller, but its failure may come before that");
    }
    const workspace = await (entry?.copy ?? copyOf(record, this.#dir(record.uuid)))?.finish(options.apply);
    if (workspace !== undefined && (workspace.conflict !== undefined || workspace.created + workspace.modified + workspace.deleted > 0))
      await this.#options.report(workspaceEventOf(asker, record, workspace));
    // `stopping`: an earlier attempt broke off after it had ended
    return { workspace, recorded, reason: entry === undefined && record.state !== "stopping" ? undefined : reason };
  }

  #remember(uuid: string, workspace: WorkspaceResult): void {
    this.#kept.set(uuid, workspace);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT) break;
      this.#kept.delete(oldest);
    }
  }

  #count(): void {
    this.#options.metrics.sandboxes({ running: this.#entries.size });
  }

  /** `keepCopy`: a copy with changes that were not written back is somebody's work. */
  async #erase(record: SandboxRecord, keepCopy = false): Promise<void> {
    this.#options.repository.remove(record.uuid);
    this.#options.detached.removeAll(record.uuid);
    await this.#options.forget(record);
    const dir = this.#dir(record.uuid);
    if (keepCopy) for (const name of ["home", "run", "detached"]) await removeTree(join(dir, name));
    else await removeFolders(dir);
  }

  /** The record as it is now. @throws NOT_FOUND when it was removed meanwhile */
  #current({ uuid, name }: SandboxRecord): SandboxRecord {
    const record = this.#options.repository.byUuid(uuid);
    if (record === undefined) throw new AppError("NOT_FOUND", `the sandbox ${name} was removed meanwhile`);
    return record;
  }

  /** It runs in another process, which alone may touch it: its files are in use, its gateway is there. */
  #isElsewhere(uuid: string): boolean {
    return !this.#entries.has(uuid) && this.#options.repository.isRunElsewhere(uuid);
  }

  #running(record: SandboxRecord): Entry {
    const entry = this.#entries.get(record.uuid);
    if (entry !== undefined) return entry;
    if (this.#isElsewhere(record.uuid)) throw elsewhere(record);
    throw new AppError("CONFLICT", `sandbox ${record.name} is ${record.state}`, { hint: `agentkernel start ${record.name}` });
  }

  #backend(record: SandboxRecord): Backend {
    const backend = this.#options.backends.get(record.backend);
    if (backend === undefined) throw new AppError("NOT_IMPLEMENTED", `backend ${record.backend} is not available in this version`);
    return backend;
  }

  #detachedOf(record: SandboxRecord): DetachedExecs {
    const { detached: repository, log } = this.#options;
    return new DetachedExecs({ sandbox: record, directory: join(this.#dir(record.uuid), "detached"), repository, log });
  }

  #recording(asker: Asker, record: SandboxRecord): Pick<ExecContext, "subject" | "report" | "now"> {
    return { subject: { ...subjectOf(asker, record) }, report: this.#options.report, now: () => this.#options.clock.now() };
  }

  #about(asker: Asker, record: SandboxRecord) {
    return {
      ...subjectOf(asker, record),
      type: "sandbox.operation" as const,
      backend: record.backend,
      profile: record.profile,
      ...(record.image === undefined ? {} : { image: record.image }),
    };
  }

  #dir(uuid: string): string {
    return join(this.#options.directory, uuid);
  }

  #refuseWhenClosing(): void {
    if (this.#closing.signal.aborted)
      throw new AppError("CONFLICT", "agentkernel is shutting down", { hint: "try again when it has started" });
  }
}

function requestOf({ argv, env, cwd = INSIDE.workspace, tty }: ExecCall): ExecRequest {
  return { argv, env, cwd, ...(tty === undefined ? {} : { tty }) };
}
