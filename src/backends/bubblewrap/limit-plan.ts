import { AppError } from "../../base/error.ts";
import type { EnforcedBy, SandboxLimits } from "../../sandbox/backend.ts";
import type { Controller, GroupLimits } from "./cgroup.ts";

export type LimitName = "memory" | "cpu" | "pids" | "files" | "disk";

/** What the machine offers to hold limits with. */
export type LimitMeans = { readonly controllers: ReadonlySet<Controller>; readonly cores: number; readonly machineMemoryBytes: number };

export type LimitPlan = {
  readonly enforced: Readonly<Record<LimitName, EnforcedBy>>;
  readonly group: GroupLimits;
  /** options of the scratch tmpfs */
  readonly scratch: { readonly bytes: number; readonly inodes: number };
  /** cores to be bound to; null: all */
  readonly affinity: number | null;
  readonly watchedBytes: number | null;
  readonly processes: number | null;
  readonly files: number | null;
};

/** stage 1's child, bwrap's own process and the init count too */
const OWN_PROCESSES = 3;
const MIN_MEMORY_BYTES = 16 * 1024 * 1024;
const MAX_INODES = 1_000_000;

/**
 * Who holds which limit on this machine.
 * @throws AppError UNSUPPORTED when a limit that the caller asked for cannot be held, VALIDATION for one that nothing could run under
 */
export function planLimits(limits: SandboxLimits, means: LimitMeans): LimitPlan {
  const { memoryBytes, cpus, pids, openFiles, scratchBytes } = limits;
  if (memoryBytes !== null && memoryBytes < MIN_MEMORY_BYTES)
    throw new AppError("VALIDATION", `a memory limit below ${MIN_MEMORY_BYTES} bytes leaves no room for a command`);
  if (cpus !== null && !(cpus > 0)) throw new AppError("VALIDATION", "the cpu limit must be above 0");
  if (pids !== null && pids < 1) throw new AppError("VALIDATION", "the process limit must be at least 1");
  if (openFiles !== null && openFiles < 16) throw new AppError("VALIDATION", "a limit below 16 open files leaves no room for a command");
  const by = (controller: Controller, otherwise: EnforcedBy): EnforcedBy => (means.controllers.has(controller) ? "cgroup" : otherwise);
  const cpu: EnforcedBy = cpus === null ? "none" : by("cpu", "affinity");
  if (cpu === "affinity" && limits.required.includes("cpu") && cpus !== null && !Number.isInteger(cpus))
    throw new AppError(
      "UNSUPPORTED",
      `bubblewrap cannot hold a limit of ${cpus} cpus here: without control groups only whole cores can be given`,
      {
        hint: `ask for ${Math.ceil(cpus)} cpus, or run agentkernel as root, where control groups hold it`,
        details: { limit: "cpu" },
      },
    );
  const bytes = Math.min(
    scratchBytes ?? Number.POSITIVE_INFINITY,
    memoryBytes ?? Number.POSITIVE_INFINITY,
    Math.floor(means.machineMemoryBytes / 2),
  );
  const memory: EnforcedBy = memoryBytes === null ? "none" : by("memory", "watchdog");
  return {
    enforced: {
      memory,
      cpu,
      pids: pids === null ? "none" : by("pids", "rlimit"),
      files: openFiles === null ? "none" : "rlimit",
      disk: "tmpfs",
    },
    group: {
      memoryBytes: means.controllers.has("memory") ? memoryBytes : null,
      cpus: means.controllers.has("cpu") ? cpus : null,
      pids: means.controllers.has("pids") && pids !== null ? pids + OWN_PROCESSES : null,
    },
    // an inode costs about 1 KiB of kernel memory that the size does not count: one for each 4 KiB of data bounds that to a quarter
    scratch: { bytes, inodes: Math.min(MAX_INODES, Math.max(1024, Math.floor(bytes / 4096))) },
    affinity: cpu === "affinity" && cpus !== null && Math.ceil(cpus) < means.cores ? Math.ceil(cpus) : null,
    watchedBytes: memory === "watchdog" ? memoryBytes : null,
    processes: pids === null ? null : pids + OWN_PROCESSES,
    files: openFiles,
  };
}
