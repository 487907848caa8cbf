import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { background, ignore } from "../base/background.ts";
import { type Clock, timestamp } from "../base/clock.ts";
import { AppError, messageOf } from "../base/error.ts";
import { KeyedMutex } from "../base/keyed-mutex.ts";
import type { Log } from "../base/log.ts";
import { removeTree } from "../base/remove-tree.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Actor, NewEvent } from "../schema/event.ts";
import type { Backend, BackendSandbox, EndReason, FileOwner, SandboxNetwork } from "./backend.ts";
import { DetachedExecs } from "./detached.ts";
import { type ExecContext, launchExec, type SandboxExec } from "./exec.ts";
import { INSIDE } from "./inside.ts";
import { type EgressLink, LiveSandbox } from "./live.ts";
import type { SandboxRecord, SandboxRepository } from "./record.ts";
import { handOver } from "./workspace/copy.ts";
import { WorkspaceCopySession, type WorkspaceResult } from "./workspace/session.ts";

/** What a sandbox is given of the outside: made by the composition root, which knows gateway, policy and secrets. */
export type SandboxSurroundings = {
  readonly network: SandboxNetwork;
  readonly env: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, string>>;
  /** the gateway's side, once the listeners were attached */
  readonly link: () => EgressLink | undefined;
};

/** Who asked, and under which request. */
export type Asker = { readonly actor: Actor; readonly requestId?: string };

export type ManagerOptions = {
  readonly backends: ReadonlyMap<string, Backend>;
  readonly repository: SandboxRepository;
  /** one folder per sandbox; mode 0711 so that sandbox uids can pass through */
  readonly directory: string;
  readonly surroundings: (record: SandboxRecord) => Promise<SandboxSurroundings>;
  readonly report: (event: NewEvent) => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

export type ExecCall = {
  readonly argv: readonly string[];
  /** added to the sandbox's own */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly tty?: { readonly rows: number; readonly cols: number };
  readonly timeoutMs?: number;
};

type Entry = {
  readonly live: LiveSandbox;
  readonly env: Readonly<Record<string, string>>;
  readonly detached: DetachedExecs;
  readonly copy: WorkspaceCopySession | undefined;
};

export type StopOutcome = { readonly record: SandboxRecord; readonly workspace: WorkspaceResult | undefined };

const SYSTEM: Asker = { actor: { kind: "system", user_id: "agentkernel" } };

/** All sandboxes of this process: their states, their lifecycle, one operation per sandbox at a time. */
export class SandboxManager implements AsyncDisposable {
  readonly #options: ManagerOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #turns = new KeyedMutex();
  #closing = false;

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
  async create(asker: Asker, record: SandboxRecord, signal: AbortSignal): Promise<SandboxRecord> {
    this.#refuseWhenClosing();
    this.#options.repository.insert(record);
    return this.#turns.run(record.uuid, async () => {
      try {
        await this.#launch(asker, record, "create", signal);
      } catch (error) {
        this.#options.repository.remove(record.uuid);
        await removeTree(this.#dir(record.uuid));
        throw error;
      }
      return this.find(record.name);
    });
  }

  async start(asker: Asker, name: string, signal: AbortSignal): Promise<SandboxRecord> {
    this.#refuseWhenClosing();
    const { uuid } = this.find(name);
    return this.#turns.run(uuid, async () => {
      const record = this.find(name);
      if (this.#entries.has(uuid)) return record;
      this.#options.repository.update(uuid, { state: "creating" });
      try {
        await this.#launch(asker, record, "start", signal);
      } catch (error) {
        this.#options.repository.update(uuid, { state: "failed", reason: messageOf(error) });
        throw error;
      }
      return this.find(name);
    });
  }

  /** Ends the sandbox; home and workspace stay. `apply`: write a copied workspace back. */
  async stop(asker: Asker, name: string, options: { readonly apply: boolean; readonly reason?: EndReason }): Promise<StopOutcome> {
    const { uuid } = this.find(name);
    return this.#turns.run(uuid, () => this.#halt(asker, this.find(name), options));
  }

  /** Ends and forgets it; a second call for one that is going waits for the first. */
  async remove(asker: Asker, name: string, options: { readonly apply: boolean }): Promise<WorkspaceResult | undefined> {
    const record = this.find(name);
    return this.#turns.run(record.uuid, async () => {
      if (this.#options.repository.byUuid(record.uuid) === undefined) return undefined;
      const startedAt = this.#options.clock.now();
      const { workspace } = await this.#halt(asker, record, options);
      await this.#options.report({
        ...this.#about(asker, record),
        operation: "remove",
        outcome: "permit",
        duration_ms: this.#options.clock.now() - startedAt,
      });
      this.#options.repository.remove(record.uuid);
      // a copy with changes that were not written back is somebody's work
      if (workspace?.keptAt === undefined) await removeTree(this.#dir(record.uuid));
      else await removeTree(join(this.#dir(record.uuid), "home"));
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

  /** Removes those whose time is over. */
  async reap(): Promise<void> {
    const now = this.#options.clock.now();
    const due = this.#options.repository.list().filter((record) => record.expiresAt !== undefined && record.expiresAt <= now);
    for (const record of due) await this.remove(SYSTEM, record.name, { apply: record.workspace?.apply ?? false });
  }

  /** Writes back a copy that was kept when its sandbox ended. */
  async applyKept(asker: Asker, record: SandboxRecord): Promise<WorkspaceResult> {
    const workspace = await new WorkspaceCopySession(record.workspace?.path ?? "", this.#dir(record.uuid)).finish(true);
    await this.#reportWorkspace(asker, record, workspace);
    if (workspace.keptAt === undefined && this.#options.repository.byUuid(record.uuid) === undefined) {
      await removeTree(this.#dir(record.uuid));
    }
    return workspace;
  }

  async exec(asker: Asker, name: string, call: ExecCall, signal: AbortSignal): Promise<SandboxExec> {
    const record = this.find(name);
    const entry = this.#running(record);
    const context: ExecContext = {
      subject: { ...subjectOf(asker, record) },
      report: this.#options.report,
      launch: (request, options) => entry.live.exec(request, options),
      ended: entry.live.ended,
      now: () => this.#options.clock.now(),
    };
    return launchExec(
      context,
      {
        argv: call.argv,
        env: { ...entry.env, ...call.env },
        cwd: call.cwd ?? INSIDE.workspace,
        ...(call.tty === undefined ? {} : { tty: call.tty }),
      },
      { signal, ...(call.timeoutMs === undefined ? {} : { timeoutMs: call.timeoutMs }) },
    );
  }

  /** Detached commands of a running sandbox. */
  detached(name: string): DetachedExecs {
    return this.#running(this.find(name)).detached;
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
    this.#closing = true;
    const names = [...this.#entries.keys()].flatMap((uuid) => this.#options.repository.byUuid(uuid)?.name ?? []);
    await Promise.allSettled(
      names.map((name) => this.stop(SYSTEM, name, { apply: false, reason: { kind: "stopped", message: "agentkernel ended" } })),
    );
  }

  async #launch(asker: Asker, record: SandboxRecord, operation: "create" | "start", signal: AbortSignal): Promise<void> {
    const startedAt = this.#options.clock.now();
    const about = { ...this.#about(asker, record), operation };
    // written while the backend works; nothing runs in it before both are done
    const recorded = this.#options.report({ ...about, outcome: "permit" });
    ignore(recorded, "awaited below, but its failure may come before that");
    let backendSandbox: BackendSandbox | undefined;
    let surroundings: SandboxSurroundings | undefined;
    try {
      const prepared = await this.#prepare(record);
      surroundings = await this.#options.surroundings(record);
      backendSandbox = await this.#backend(record).create(
        {
          uuid: record.uuid,
          name: record.name,
          hostname: hostnameOf(record.name),
          env: surroundings.env,
          workdir: INSIDE.workspace,
          homeDir: prepared.homeDir,
          ...(prepared.workspaceDir === undefined ? {} : { workspaceDir: prepared.workspaceDir }),
          mounts: record.mounts,
          files: surroundings.files,
          limits: {
            memoryBytes: record.limits.memory,
            cpus: record.limits.cpu,
            pids: record.limits.pids,
            openFiles: record.limits.files,
            scratchBytes: record.limits.disk,
            required: record.requiredLimits,
          },
          network: surroundings.network,
          ...(record.image === undefined ? {} : { image: record.image }),
          ...(record.workspace?.owner === undefined ? {} : { owner: record.workspace.owner }),
          prepare: prepared.handOver,
          runDir: prepared.runDir,
        },
        { signal, log: this.#options.log },
      );
      await prepared.handedOver();
      await recorded;
      this.#enter(record, new LiveSandbox(backendSandbox, surroundings.link()), surroundings.env, prepared.copy);
      this.#options.repository.update(record.uuid, { state: "running", reason: "", enforcedBy: backendSandbox.limits });
      this.#options.metrics.sandboxStarted({ backend: record.backend, seconds: (this.#options.clock.now() - startedAt) / 1000 });
    } catch (error) {
      this.#options.metrics.sandboxStartFailed({ backend: record.backend, code: error instanceof AppError ? error.code : "INTERNAL" });
      await backendSandbox?.stop({ kind: "backend", message: "the start failed" });
      await backendSandbox?.[Symbol.asyncDispose]();
      await surroundings?.link()?.[Symbol.asyncDispose]();
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

  /** Folders, the copy of the workspace, and handing both to whom the sandbox runs as. */
  async #prepare(record: SandboxRecord) {
    const dir = this.#dir(record.uuid);
    const homeDir = join(dir, "home");
    const runDir = join(dir, "run");
    await mkdir(dir, { recursive: true, mode: 0o711 });
    await chmod(dir, 0o711);
    await mkdir(homeDir, { recursive: true, mode: 0o700 });
    await mkdir(runDir, { recursive: true, mode: 0o700 });
    const copy = record.workspace?.mode === "copy" ? new WorkspaceCopySession(record.workspace.path, dir) : undefined;
    const skipped = (await copy?.prepare()) ?? [];
    if (skipped.length > 0)
      this.#options.log.warn("entries of the workspace that cannot be copied were left out", {
        sandbox: record.name,
        count: skipped.length,
      });
    let done = false;
    const handOverAll = async (owner: FileOwner | undefined): Promise<void> => {
      done = true;
      if (owner !== undefined) await handOver(homeDir, owner);
      await copy?.handOver(owner);
    };
    return {
      homeDir,
      runDir,
      copy,
      workspaceDir: copy?.copy ?? record.workspace?.path,
      handOver: handOverAll,
      /** a backend that runs as the caller does not call `prepare` */
      handedOver: async () => {
        if (!done) await handOverAll(undefined);
      },
    };
  }

  #enter(record: SandboxRecord, live: LiveSandbox, env: Readonly<Record<string, string>>, copy: WorkspaceCopySession | undefined): void {
    const detached = new DetachedExecs(record.name, join(this.#dir(record.uuid), "detached"), this.#options.log);
    this.#entries.set(record.uuid, { live, env, detached, copy });
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

  async #halt(
    asker: Asker,
    record: SandboxRecord,
    options: { readonly apply: boolean; readonly reason?: EndReason },
  ): Promise<StopOutcome> {
    const entry = this.#entries.get(record.uuid);
    if (entry !== undefined) {
      const startedAt = this.#options.clock.now();
      // forgotten first: the watcher then leaves state and event to us
      this.#entries.delete(record.uuid);
      this.#options.repository.update(record.uuid, { state: "stopping" });
      const reason = options.reason ?? { kind: "stopped", message: `stopped by ${asker.actor.user_id}` };
      await entry.live.stop(reason);
      this.#count();
      this.#options.metrics.sandboxEnded({ backend: record.backend, reason: reason.kind });
      this.#options.repository.update(record.uuid, { state: "stopped", reason: reason.message });
      const duration = this.#options.clock.now() - startedAt;
      await this.#options.report({
        ...this.#about(asker, record),
        operation: "stop",
        outcome: "permit",
        reason: reason.message,
        duration_ms: duration,
      });
    }
    const copy =
      entry?.copy ??
      (record.workspace?.mode === "copy" ? new WorkspaceCopySession(record.workspace.path, this.#dir(record.uuid)) : undefined);
    const workspace = await copy?.finish(options.apply);
    if (workspace !== undefined && (workspace.conflict !== undefined || workspace.created + workspace.modified + workspace.deleted > 0))
      await this.#reportWorkspace(asker, record, workspace);
    return { record: this.#options.repository.byUuid(record.uuid) ?? record, workspace };
  }

  async #reportWorkspace(asker: Asker, record: SandboxRecord, result: WorkspaceResult): Promise<void> {
    await this.#options.report({
      ...subjectOf(asker, record),
      type: "sandbox.workspace",
      operation: result.conflict !== undefined ? "conflict" : result.applied ? "apply" : "copy",
      outcome: result.conflict === undefined ? "info" : "error",
      path: record.workspace?.path ?? "",
      created: result.created,
      modified: result.modified,
      deleted: result.deleted,
      sensitive: [...result.sensitive],
      ...(result.conflict === undefined ? {} : { reason: result.conflict }),
    });
  }

  #count(): void {
    this.#options.metrics.sandboxes({ running: this.#entries.size });
  }

  #running(record: SandboxRecord): Entry {
    const entry = this.#entries.get(record.uuid);
    if (entry !== undefined) return entry;
    throw new AppError("CONFLICT", `sandbox ${record.name} is ${record.state}`, { hint: `agentkernel start ${record.name}` });
  }

  #backend(record: SandboxRecord): Backend {
    const backend = this.#options.backends.get(record.backend);
    if (backend === undefined) throw new AppError("NOT_IMPLEMENTED", `backend ${record.backend} is not available in this version`);
    return backend;
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
    if (this.#closing) throw new AppError("CONFLICT", "agentkernel is shutting down", { hint: "try again when it has started" });
  }
}

function subjectOf(asker: Asker, record: SandboxRecord) {
  return {
    actor: asker.actor,
    sandbox: record.name,
    sandbox_uuid: record.uuid,
    ...(asker.requestId === undefined ? {} : { request_id: asker.requestId }),
    ...(Object.keys(record.labels).length === 0 ? {} : { labels: { ...record.labels } }),
  };
}

/** A host name of at most 63 characters of letters, digits and hyphens. */
function hostnameOf(name: string): string {
  return (
    name
      .replace(/[^A-Za-z0-9-]/g, "-")
      .slice(0, 63)
      .replace(/^-+|-+$/g, "") || "sandbox"
  );
}
