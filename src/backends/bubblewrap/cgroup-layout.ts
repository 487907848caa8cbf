import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../base/error.ts";
import { PARENT_GROUP, type CgroupLayout, type Controller, type GroupLimits } from "./cgroup.ts";

const PERIOD_US = 100_000;
/** the kernel refuses a quota below 1 ms */
const quota = (cpus: number): number => Math.max(1000, Math.round(cpus * PERIOD_US));
const CONTROLLERS: readonly Controller[] = ["memory", "pids", "cpu"];

/** Where hierarchies are mounted, from the text of /proc/self/mounts. */
export function parseCgroupMounts(text: string): { readonly v2: string | undefined; readonly v1: ReadonlyMap<Controller, string> } {
  let v2: string | undefined;
  const v1 = new Map<Controller, string>();
  for (const line of text.split("\n")) {
    const [, path = "", type = "", options = ""] = line.split(" ");
    if (type === "cgroup2") v2 ??= path;
    if (type !== "cgroup") continue;
    for (const controller of CONTROLLERS) if (options.split(",").includes(controller) && !v1.has(controller)) v1.set(controller, path);
  }
  return { v2, v1 };
}

export function layoutV1(mounts: ReadonlyMap<Controller, string>): CgroupLayout {
  const parents = new Map([...mounts].map(([controller, mount]) => [controller, join(mount, PARENT_GROUP)]));
  const memory = parents.get("memory");
  return {
    version: 1,
    controllers: new Set(mounts.keys()),
    entrance: "tasks",
    // cpu,cpuacct or any other joint mount: one group serves both
    parents: [...new Set(parents.values())],
    settings: (parent, limits) => [
      ...(parent === memory && limits.memoryBytes !== null
        ? [
            { file: "memory.limit_in_bytes", value: String(limits.memoryBytes) },
            // swap counts too where the kernel counts it; it must not be below the limit, so it comes second
            { file: "memory.memsw.limit_in_bytes", value: String(limits.memoryBytes), optional: true },
            { file: "memory.swappiness", value: "0", optional: true },
            // socket buffers are charged only where this is set; the machine-wide tcp_mem would be reached otherwise
            {
              file: "memory.kmem.tcp.limit_in_bytes",
              value: String(Math.max(Math.floor(limits.memoryBytes / 4), 4 << 20)),
              optional: true,
            },
          ]
        : []),
      ...(parent === parents.get("pids") && limits.pids !== null ? [{ file: "pids.max", value: String(limits.pids) }] : []),
      ...(parent === parents.get("cpu") && limits.cpus !== null
        ? [
            { file: "cpu.cfs_period_us", value: String(PERIOD_US) },
            { file: "cpu.cfs_quota_us", value: String(quota(limits.cpus)) },
          ]
        : []),
    ],
    oom: memory === undefined ? undefined : { parent: memory, file: "memory.oom_control", pattern: /^oom_kill (\d+)/m },
  };
}

export function layoutV2(mount: string, controllers: ReadonlySet<Controller>): CgroupLayout {
  const parent = join(mount, PARENT_GROUP);
  const settings = (_: string, limits: GroupLimits) => [
    ...(limits.memoryBytes === null
      ? []
      : [
          { file: "memory.max", value: String(limits.memoryBytes) },
          { file: "memory.swap.max", value: "0", optional: true },
          // all of it goes at once: half a sandbox is no use to anybody
          { file: "memory.oom.group", value: "1", optional: true },
        ]),
    ...(limits.pids === null ? [] : [{ file: "pids.max", value: String(limits.pids) }]),
    ...(limits.cpus === null ? [] : [{ file: "cpu.max", value: `${quota(limits.cpus)} ${PERIOD_US}` }]),
  ];
  return {
    version: 2,
    controllers,
    entrance: "cgroup.procs",
    parents: [parent],
    settings,
    oom: controllers.has("memory") ? { parent, file: "memory.events", pattern: /^oom_kill (\d+)/m } : undefined,
  };
}

/** What works here, by making a group in each hierarchy; undefined when nothing does (no root, read-only, other container). */
export function detectCgroups(mountsText = readFileSync("/proc/self/mounts", "latin1")): CgroupLayout | undefined {
  const { v1, v2 } = parseCgroupMounts(mountsText);
  const usable = new Map([...v1].filter(([, mount]) => canMakeGroups(mount)));
  if (usable.size > 0) return layoutV1(usable);
  if (v2 === undefined || !canMakeGroups(v2)) return undefined;
  const controllers = new Set(CONTROLLERS.filter((controller) => delegate(v2, controller) && delegate(join(v2, PARENT_GROUP), controller)));
  return controllers.size === 0 ? undefined : layoutV2(v2, controllers);
}

function canMakeGroups(mount: string): boolean {
  const parent = join(mount, PARENT_GROUP);
  const probe = join(parent, `probe-${process.pid}`);
  try {
    mkdirSync(probe, { recursive: true });
    rmdirSync(probe);
    return true;
  } catch (error) {
    if (["EACCES", "EPERM", "EROFS", "ENOENT", "ENOSPC"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

/** Hands a controller to the groups below; refused where processes sit in the group itself (cgroups(7), "no internal processes"). */
function delegate(group: string, controller: Controller): boolean {
  try {
    writeFileSync(join(group, "cgroup.subtree_control"), `+${controller}`);
    return true;
  } catch (error) {
    if (["EACCES", "EPERM", "EROFS", "ENOENT", "EBUSY", "EINVAL"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}
