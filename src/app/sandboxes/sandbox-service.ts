import { ignore } from "../../base/background.ts";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { Turnstile } from "../../base/turnstile.ts";
import { parseDuration } from "../../base/units.ts";
import type { SandboxExec } from "../../sandbox/exec.ts";
import type { SandboxManager } from "../../sandbox/manager.ts";
import type { ExecCall } from "../../sandbox/manager-options.ts";
import type { SandboxRecord, SandboxRepository } from "../../sandbox/record.ts";
import type { WorkspaceResult } from "../../sandbox/workspace/session.ts";
import type { CreateSandboxRequest, DetachedExec, DetachedLogs, RunRequest, SandboxInfo } from "../../schema/api.ts";
import { ephemeralName } from "./ephemeral-name.ts";
import type { Caller, Cancel, ExecOptions, RunningExec, RunningSandboxExec, SandboxService, WorkspaceOutcome } from "../facade.ts";
import { sandboxInfoOf } from "./sandbox-info.ts";

export type SandboxServiceOptions = {
  readonly manager: SandboxManager;
  readonly repository: SandboxRepository;
  /** from a request to a record: profile, limits, workspace, secrets; @throws AppError for what cannot be enforced */
  readonly plan: (request: CreateSandboxRequest, expiresAt: number | undefined) => Promise<SandboxRecord>;
  readonly clock: Clock;
  readonly log: Log;
};

const NOTHING_CHANGED: WorkspaceOutcome = { created: 0, modified: 0, deleted: 0, sensitive: [], applied: true };

/** Sandboxes as the surfaces see them. */
export function createSandboxService(options: SandboxServiceOptions): SandboxService {
  const { manager, repository } = options;
  // what a new sandbox takes before its first wait, for one of many that are asked for at once at a time
  const arrivals = new Turnstile();
  const infoOf = (name: string): SandboxInfo => sandboxInfoOf(manager.find(name));

  async function exec(caller: Caller, name: string, request: ExecOptions, cancel: Cancel): Promise<SandboxExec> {
    const started = await manager.exec(caller, name, execCallOf(request), cancel.signal);
    feed(started, request.stdin);
    return started;
  }

  return {
    async create(caller, request, cancel) {
      await arrivals.pass();
      const expiresAt = request.ttl === undefined ? undefined : options.clock.now() + parseDuration(request.ttl);
      const record = await options.plan(request, expiresAt);
      return sandboxInfoOf(await manager.create(caller, record, cancel));
    },
    list: (filter = {}) => Promise.resolve(repository.list(labelFilter(filter.label)).map(sandboxInfoOf)),
    get: async (name) => infoOf(name),
    async getByUuid(uuid) {
      const record = repository.byUuid(uuid);
      if (record === undefined) throw new AppError("NOT_FOUND", `there is no sandbox with the uuid ${uuid}`);
      return sandboxInfoOf(record);
    },
    start: async (caller, name, cancel) => sandboxInfoOf(await manager.start(caller, name, cancel.signal)),
    async stop(caller, name) {
      const record = manager.find(name);
      const { workspace } = await manager.stop(caller, name, { apply: appliesByItself(record) });
      return outcomeOf(workspace, () => manager.applyKept(caller, record));
    },
    async remove(caller, name) {
      const record = manager.find(name);
      const workspace = await manager.remove(caller, record, { apply: appliesByItself(record) });
      return outcomeOf(workspace, () => manager.applyKept(caller, record));
    },
    async extend(caller, name, byMs) {
      const record = manager.find(name);
      await manager.extend(caller, record, (record.expiresAt ?? options.clock.now()) + byMs);
      return infoOf(name);
    },
    exec,
    async execDetached(caller, name, request) {
      const detached = manager.detached(name);
      const started = await exec(caller, name, request, { signal: new AbortController().signal });
      return detached.adopt(started, request.command, options.clock.now());
    },
    detachedList: async (name): Promise<readonly DetachedExec[]> => manager.detached(name).list(),
    detachedGet: async (name, id): Promise<DetachedExec> => manager.detached(name).get(id),
    detachedLogs: (name, id, stream): Promise<DetachedLogs> => manager.detached(name).logs(id, stream),
    async detachedKill(_caller, name, id) {
      manager.detached(name).kill(id);
    },
    run: (caller, request, cancel) => runOnce(caller, request, cancel),
  };

  async function runOnce(
    caller: Caller,
    request: RunRequest & { readonly tty?: { readonly rows: number; readonly cols: number } },
    cancel: Cancel,
  ): Promise<RunningSandboxExec> {
    await arrivals.pass();
    const { command, fast: _fast, workdir, stdin, timeout_ms, keep = false, tty, ...place } = request;
    const planned = await options.plan({ ...place, name: ephemeralName() }, undefined);
    const record: SandboxRecord = keep ? planned : { ...planned, isEphemeral: true };
    const { name } = record;
    const end = async (): Promise<WorkspaceOutcome> => {
      const apply = appliesByItself(record);
      const result = keep ? (await manager.stop(caller, name, { apply })).workspace : await manager.remove(caller, record, { apply });
      return outcomeOf(result, () => manager.applyKept(caller, record));
    };
    const call = execCallOf({
      command,
      ...(workdir === undefined ? {} : { workdir }),
      ...(timeout_ms === undefined ? {} : { timeout_ms }),
      ...(tty === undefined ? {} : { tty }),
    });
    let started: SandboxExec;
    try {
      started = await manager.createFor(caller, record, call, cancel);
    } catch (error) {
      // nothing is left of a sandbox that could not be made; one whose command could not be started is still there
      if (repository.byUuid(record.uuid) !== undefined) await end();
      throw error;
    }
    feed(started, stdin);
    // the sandbox ends while the end of its command is being recorded
    const finished = started.over.then(async () => {
      const outcome = await end();
      await started.exited;
      return outcome;
    });
    ignore(finished, "awaited by whoever wants the workspace's outcome");
    return { ...runningExecOf(started), sandbox: infoOf(name), finished };
  }
}

function runningExecOf(exec: SandboxExec): RunningExec {
  return exec;
}

function execCallOf(request: ExecOptions): ExecCall {
  if (request.sudo === true) {
    throw new AppError("UNSUPPORTED", "sudo needs a backend whose root file system can be written to", {
      hint: "leave out sudo; bubblewrap sandboxes have no root user",
    });
  }
  return {
    argv: request.command,
    env: Object.fromEntries((request.env ?? []).map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)])),
    ...(request.workdir === undefined ? {} : { cwd: request.workdir }),
    ...(request.tty === undefined ? {} : { tty: request.tty }),
    ...(request.timeout_ms === undefined ? {} : { timeoutMs: request.timeout_ms }),
  };
}

/** Input that came with the request is all there is of it. */
function feed(exec: SandboxExec, stdin: string | undefined): void {
  if (stdin === undefined) return;
  exec.stdin.on("error", () => undefined); // the command need not read it
  exec.stdin.end(stdin);
}

/** Root's own workspace is a copy that nobody asked for, so its changes go back unless the caller said otherwise. */
function appliesByItself(record: SandboxRecord): boolean {
  return record.workspace?.apply ?? false;
}

function outcomeOf(result: WorkspaceResult | undefined, apply: () => Promise<WorkspaceResult>): WorkspaceOutcome {
  if (result === undefined) return NOTHING_CHANGED;
  if (result.applied || result.conflict !== undefined) return result;
  return { ...result, apply: async () => outcomeOf(await apply(), apply) };
}

function labelFilter(label: string | undefined): { readonly label?: readonly [string, string] } {
  if (label === undefined) return {};
  const colon = label.indexOf(":");
  if (colon <= 0) throw new AppError("VALIDATION", `label ${label} is not KEY:VALUE`);
  return { label: [label.slice(0, colon), label.slice(colon + 1)] };
}
