import { AppError } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { Semaphore } from "../../base/semaphore.ts";
import type { Turnstile } from "../../base/turnstile.ts";
import type { BackendSandbox, FileOwner, Mount, SandboxSpec } from "../../sandbox/backend.ts";
import { connectInit, type InitClient } from "../init/client.ts";
import { assertTargets, bwrapArguments, encodeArguments } from "./bwrap-arguments.ts";
import { ControlGroup } from "./cgroup.ts";
import { holdPath, type HeldPath } from "./held-path.ts";
import { prepareFiles } from "./inside-files.ts";
import { planLimits, type LimitPlan } from "./limit-plan.ts";
import type { Opened } from "./launch-request.ts";
import type { Launcher } from "./launcher.ts";
import type { Machine } from "./machine.ts";
import { BubblewrapSandbox } from "./sandbox.ts";
import { assertDescriptors, inheritedFd, outOfDescriptors, raceSignal, SECCOMP_FD, StageOne } from "./stage-one.ts";
import { killStrays } from "./stray-processes.ts";
import { INSIDE_INIT } from "./system-files.ts";

export type LaunchOptions = {
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly timeoutMs: number;
  readonly starts: Semaphore;
  /** one start's preparations at a time, and the rest of this process gets its turn in between */
  readonly turns: Turnstile;
  readonly launcher: Launcher;
};

/** sockets of one start beside its listeners, and what Node opens in between */
const DESCRIPTORS = 8;
const ROOT_BYTES = 4 * 1024 * 1024;

/** @throws AppError VALIDATION, UNSUPPORTED: what can be said without looking at the machine */
export function validateSpec(spec: SandboxSpec): void {
  if (spec.image !== undefined)
    throw new AppError("UNSUPPORTED", "bubblewrap runs on the host's own system and takes no image", {
      hint: "leave the image out, or use -b docker",
    });
  if (!/^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(spec.hostname))
    throw new AppError("VALIDATION", `not a host name: ${JSON.stringify(spec.hostname)}`);
  assertTargets(spec.mounts, Object.keys(spec.files));
  if (spec.network.kind === "none") return;
  for (const port of spec.network.ports)
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw new AppError("VALIDATION", `not a port: ${port}`);
  if (new Set(spec.network.ports).size > 64) throw new AppError("VALIDATION", "a sandbox can reach at most 64 ports");
}

/** What a start has taken and gives back, in reverse order. */
type Taken = {
  readonly undo: AsyncDisposableStack;
  /** whether the end of every process inside was seen */
  allGone: boolean;
};

/** From a specification to a running sandbox; whatever fails, nothing of it is left. */
export async function launch(machine: Machine, spec: SandboxSpec, options: LaunchOptions): Promise<BackendSandbox> {
  const plan = planLimits(spec.limits, machine.means);
  await using undo = new AsyncDisposableStack();
  const taken: Taken = { undo, allGone: true };
  const owner = chooseOwner(machine, spec, taken, options.log);
  // before the clock of the start runs: a large home or workspace takes its time
  if (owner !== undefined) await spec.prepare?.(owner);
  using _permit = await options.starts.acquire(options.signal);
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    deadline.abort(new AppError("SANDBOX_START_FAILED", `the sandbox did not start within ${options.timeoutMs} ms`));
  }, options.timeoutMs);
  try {
    const signal = AbortSignal.any([options.signal, deadline.signal]);
    const { stage, group } = await beginStage(machine, spec, plan, owner, taken, options, signal);
    const init = await enterStageTwo(stage, signal, options);
    return new BubblewrapSandbox({ stage, init, group, limits: plan.enforced, cleanUp: undo.move(), log: options.log });
  } finally {
    clearTimeout(timer);
  }
}

/** Whom it runs as on the host; undefined: as we do ourselves. Never uid 0. */
function chooseOwner(machine: Machine, spec: SandboxSpec, taken: Taken, log: Log): FileOwner | undefined {
  const { owner } = spec;
  const uid = process.getuid?.();
  if (machine.pool === undefined) {
    if (owner !== undefined && owner.uid !== uid)
      throw new AppError("UNSUPPORTED", `started by uid ${uid}, agentkernel cannot run a sandbox as uid ${owner.uid}`, {
        hint: "leave the owner out, or start agentkernel as root",
      });
    return undefined;
  }
  if (owner !== undefined) {
    if (!(owner.uid > 0 && owner.gid > 0))
      throw new AppError("VALIDATION", "a sandbox never runs as root of the host", {
        hint: "use a copy of the workspace (--copy), which a uid of its own can own",
      });
    return owner;
  }
  const lease = machine.pool.acquire();
  taken.undo.defer(async () => {
    // normally all are: the end of stage 1 waits for the last process
    if (!taken.allGone) await killStrays({ isOurs: (uid) => uid === lease.owner.uid, leased: () => Promise.resolve(new Set()), log });
    lease.release();
  });
  return lease.owner;
}

async function beginStage(
  machine: Machine,
  spec: SandboxSpec,
  plan: LimitPlan,
  owner: FileOwner | undefined,
  taken: Taken,
  { log, turns, launcher }: LaunchOptions,
  signal: AbortSignal,
) {
  const ports = spec.network.kind === "none" ? [] : [...new Set([53, ...spec.network.ports])];
  // held until the stage has taken them
  using open = new DisposableStack();
  const hold = async (path: string, what: string): Promise<HeldPath> => open.use(await holdPath(path, what, owner));
  const home = await hold(spec.homeDir, "the home directory");
  const workspace = spec.workspaceDir === undefined ? undefined : await hold(spec.workspaceDir, "the workspace");
  for (const held of [home, workspace])
    if (held?.isDirectory === false) throw new AppError("VALIDATION", "home and workspace must be directories");
  const mounts: { held: HeldPath; mount: Mount }[] = [];
  for (const mount of spec.mounts) mounts.push({ held: await hold(mount.source, `the mount at ${mount.target}`), mount });
  const files = await prepareFiles(machine, spec);
  await turns.pass();
  assertDescriptors(DESCRIPTORS + ports.length);

  const inherited: Opened[] = [];
  const pass = (opened: Opened): number => inheritedFd(inherited.push(opened) - 1);
  const passHeld = ({ path, device, inode }: HeldPath): number => pass({ kind: "held", path, device, inode });
  const bwrapOptions = encodeArguments(
    bwrapArguments({
      hostname: spec.hostname,
      tree: machine.tree,
      rootBytes: ROOT_BYTES,
      scratch: machine.stage.scratch,
      initPath: machine.initPath,
      emptyPath: machine.emptyPath,
      etcPath: files.etc,
      fileBinds: files.binds,
      fileData: files.data.map(({ content, target }) => ({ fd: pass({ kind: "content", content }), target })),
      mounts: mounts.map(({ held, mount: { target, readOnly } }) => ({ fd: passHeld(held), target, readOnly })),
      homeFd: passHeld(home),
      workspaceFd: workspace === undefined ? undefined : passHeld(workspace),
      seccompFd: SECCOMP_FD,
    }),
  );
  const group = makeGroup(machine, spec, plan, taken, log);
  const stage = new StageOne(launcher, {
    helperPath: machine.helperPath,
    bwrapPath: machine.bwrap.path,
    initPath: INSIDE_INIT,
    scratch: machine.stage.scratch,
    plan,
    cores: chooseCores(machine.cores, plan.affinity),
    ports,
    owner,
    inherited,
    seccompPath: machine.seccompPath,
    bwrapOptions,
    // every page and process of it counts from its first step
    entrances: group?.entrances ?? [],
  });
  taken.undo.defer(async () => {
    taken.allGone = await stage.close();
  });
  await attachNetwork(spec, stage, signal);
  return { stage, group };
}

function makeGroup(machine: Machine, spec: SandboxSpec, plan: LimitPlan, taken: Taken, log: Log): ControlGroup | undefined {
  const { group: limits } = plan;
  if (machine.cgroups === undefined || (limits.memoryBytes === null && limits.cpus === null && limits.pids === null)) return undefined;
  const group = ControlGroup.create(machine.cgroups, spec.uuid, limits);
  taken.undo.defer(async () => {
    if (!(await group.remove())) log.warn("a sandbox's control group could not be removed yet; the next start of agentkernel does it");
  });
  return group;
}

/** Neighbouring cores from a random one on, so that sandboxes spread. */
function chooseCores(cores: readonly number[], count: number | null): readonly number[] {
  if (count === null) return [];
  const from = Math.floor(Math.random() * cores.length);
  return Array.from({ length: count }, (_, index) => cores[(from + index) % cores.length] ?? 0);
}

async function attachNetwork(spec: SandboxSpec, stage: StageOne, signal: AbortSignal): Promise<void> {
  const listeners = await stage.listeners(signal);
  if (spec.network.kind === "none") return;
  const missing = spec.network.ports.filter((port) => !listeners.tcp.has(port));
  // they were sent: another start took the descriptors that there were for them
  if (missing.length > 0 || listeners.dns === undefined)
    throw outOfDescriptors(new Error(`the sandbox's listening sockets did not all arrive (missing: ${missing.join(", ") || "dns"})`));
  await raceSignal(spec.network.attach(listeners), signal);
  stage.handOver();
}

async function enterStageTwo(stage: StageOne, signal: AbortSignal, options: LaunchOptions): Promise<InitClient> {
  stage.go();
  try {
    return await raceSignal(connectInit(stage.initChannel, { log: options.log, helloTimeoutMs: options.timeoutMs }), signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof AppError) || error.code !== "SANDBOX_START_FAILED") throw error;
    // the socket closes before the process is gone, and its last words say more than the closed socket
    const end = await raceSignal(stage.ended, signal);
    throw stage.failure(end);
  }
}
