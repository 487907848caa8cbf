import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { background } from "../../base/background.ts";
import { AppError } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { type GuestProgram, guestProgram } from "../init/program.ts";
import { sweepGroups, type CgroupLayout } from "./cgroup.ts";
import { detectCgroups } from "./cgroup-layout.ts";
import { findBwrap, type Bwrap } from "./find-bwrap.ts";
import { readHostTree, type HostTree } from "./host-tree.ts";
import type { LimitMeans } from "./limit-plan.ts";
import { buildProgram, encodeProgram } from "./seccomp.ts";
import { StageDirectory } from "./stage-directory.ts";
import { killStrays } from "./stray-processes.ts";
import { readPoolRange, UidPool } from "./uid-pool.ts";

export type MachineOptions = {
  /** where programs and shared files of sandboxes stand; every sandbox's uid must be able to reach it */
  readonly stageDir: string;
  /** leases of uids; one place for all agentkernel processes of the machine, since one that looks elsewhere ends the others' sandboxes */
  readonly leaseDir?: string | undefined;
  readonly bwrapPath?: string | undefined;
  /** folder of compiled guest programs; default: the one beside this program */
  readonly guestDir?: string | undefined;
};

const LATE_SWEEP_MS = 1_000;

/** What does not change while we run: looked at once, before the first sandbox. */
export type Machine = {
  readonly bwrap: Bwrap;
  readonly stage: StageDirectory;
  readonly helperPath: string;
  readonly initPath: string;
  readonly emptyPath: string;
  readonly seccompPath: string;
  readonly tree: HostTree;
  readonly cgroups: CgroupLayout | undefined;
  readonly means: LimitMeans;
  /** cores we may run on */
  readonly cores: readonly number[];
  /** absent: started by an ordinary user, as whom everything runs */
  readonly pool: UidPool | undefined;
};

/** @throws AppError BACKEND_UNAVAILABLE when it was not built */
export function guestPath(name: GuestProgram, { guestDir }: Pick<MachineOptions, "guestDir">): string {
  return guestDir === undefined ? guestProgram(name) : join(guestDir, name);
}

/** @throws AppError BACKEND_UNAVAILABLE with a remedy */
export async function readMachine(options: MachineOptions, log: Log): Promise<Machine> {
  if (process.arch !== "x64" && process.arch !== "arm64")
    throw new AppError("BACKEND_UNAVAILABLE", `no system call filter for ${process.arch}`);
  const isRoot = process.getuid?.() === 0;
  const tree = readHostTree();
  const [stage, range] = await Promise.all([StageDirectory.open(options.stageDir), isRoot ? readPoolRange() : undefined]);
  const [bwrap, helperPath, initPath, emptyPath, seccompPath] = await Promise.all([
    findBwrap(options.bwrapPath, join(stage.path, "bwrap-version")),
    stage.program(guestPath("net-helper", options)),
    stage.program(guestPath("init", options)),
    stage.file(""),
    stage.file(encodeProgram(buildProgram(process.arch))),
  ]);
  const cgroups = isRoot ? detectCgroups() : undefined;
  const cores = allowedCores(readFileSync("/proc/self/status", "latin1"));
  const pool = range === undefined ? undefined : new UidPool(range, options.leaseDir);
  if (cgroups !== undefined) sweepGroups(cgroups, log);
  if (pool !== undefined) await sweepStrays(pool, log);
  return {
    bwrap,
    stage,
    helperPath,
    initPath,
    emptyPath,
    seccompPath,
    tree,
    cgroups,
    means: { controllers: cgroups?.controllers ?? new Set(), cores: cores.length, machineMemoryBytes: totalmem() },
    cores,
    pool,
  };
}

async function sweepStrays(pool: UidPool, log: Log): Promise<void> {
  const { firstUid, count } = pool.range;
  const sweep = async (): Promise<void> => {
    await killStrays({ isOurs: (uid) => uid >= firstUid && uid < firstUid + count, leased: () => pool.leased(), log });
  };
  if (await pool.hasDeadHolders()) return sweep();
  // all that lived gave their uids back; the look at every process of the machine, which takes milliseconds, need not hold up a start
  setTimeout(() => background("sweep processes under sandbox uids", sweep(), log), LATE_SWEEP_MS).unref();
}

/** Core numbers of "Cpus_allowed_list:\t0-2,5". */
export function allowedCores(status: string): readonly number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? "0";
  return list.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
