import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { errnoOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { livenessOf, ownIdentity } from "../../base/process-identity.ts";
import { holderName, parseHolderName } from "./holder-name.ts";

/** Name of the group that holds all of ours, directly below each hierarchy's root. */
export const PARENT_GROUP = "agentkernel";

export type GroupLimits = { readonly memoryBytes: number | null; readonly cpus: number | null; readonly pids: number | null };
export type Controller = "memory" | "cpu" | "pids";

/** The kernel's files of one version of the interface: where groups lie, what is written, how an out-of-memory kill shows. */
export type CgroupLayout = {
  readonly version: 1 | 2;
  readonly controllers: ReadonlySet<Controller>;
  /** file that a process writes "0" into to join: `tasks` moves a single thread and takes no lock, v2 has no such file */
  readonly entrance: "tasks" | "cgroup.procs";
  /** directories below which a sandbox gets one group each */
  readonly parents: readonly string[];
  /** [file, value] of the group below `parent`; written in order, `optional` may be absent on this kernel */
  settings(parent: string, limits: GroupLimits): readonly { readonly file: string; readonly value: string; readonly optional?: boolean }[];
  /** file with the count of kills and the pattern that finds it; in which parent's group */
  readonly oom: { readonly parent: string; readonly file: string; readonly pattern: RegExp } | undefined;
};

const REMOVE_TIMEOUT_MS = 2000;

/** The groups of one sandbox. Calls are synchronous: they touch a few bytes of the kernel's. */
export class ControlGroup {
  readonly #layout: CgroupLayout;
  readonly #name: string;
  readonly #made: string[] = [];

  private constructor(layout: CgroupLayout, name: string) {
    this.#layout = layout;
    this.#name = name;
  }

  static create(layout: CgroupLayout, uuid: string, limits: GroupLimits): ControlGroup {
    const group = new ControlGroup(layout, holderName(ownIdentity(), uuid));
    try {
      for (const parent of layout.parents) {
        const path = join(parent, group.#name);
        mkdirSync(path);
        group.#made.push(path);
        for (const { file, value, optional } of layout.settings(parent, limits)) {
          try {
            writeFileSync(join(path, file), value);
          } catch (error) {
            if (optional !== true || (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "EACCES" && errnoOf(error) !== "EOPNOTSUPP"))
              throw error;
          }
        }
      }
      return group;
    } catch (error) {
      for (const path of group.#made) rmdirSync(path);
      throw error;
    }
  }

  /** Files that a process which we start joins the groups by, once they were opened with our rights. */
  get entrances(): readonly string[] {
    return this.#made.map((path) => join(path, this.#layout.entrance));
  }

  /** How often the kernel killed something in it for memory. */
  oomKills(): number {
    const { oom } = this.#layout;
    if (oom === undefined || this.#made.length === 0) return 0;
    const text = readFileSync(join(oom.parent, this.#name, oom.file), "latin1");
    return Number(oom.pattern.exec(text)?.[1] ?? 0);
  }

  /** Waits until the last process is reaped; false when it never was. */
  async remove(): Promise<boolean> {
    const deadline = performance.now() + REMOVE_TIMEOUT_MS;
    for (const path of this.#made.splice(0)) {
      while (!tryRemove(path)) {
        if (performance.now() > deadline) return false;
        await delay(2);
      }
    }
    return true;
  }
}

/** Removes groups whose maker is dead, killing what is still in them. Returns how many went. */
export function sweepGroups(layout: CgroupLayout, log: Log): number {
  let removed = 0;
  for (const parent of layout.parents) {
    for (const entry of readdirSync(parent, { withFileTypes: true })) {
      const made = parseHolderName(entry.name);
      if (!entry.isDirectory() || made === undefined || livenessOf(made.holder) !== "dead") continue;
      const path = join(parent, entry.name);
      for (const pid of membersOf(path)) {
        try {
          process.kill(Number(pid), "SIGKILL");
          log.warn("killed a process that was left behind in a sandbox's control group", { pid: Number(pid) });
        } catch (error) {
          if (errnoOf(error) !== "ESRCH") throw error;
        }
      }
      // one that still holds dying processes goes at the next sweep
      if (tryRemove(path)) removed += 1;
    }
  }
  return removed;
}

/** None where another process that starts swept it first. */
function membersOf(group: string): readonly string[] {
  try {
    return readFileSync(join(group, "cgroup.procs"), "latin1").split("\n").filter(Boolean);
  } catch (error) {
    // ENODEV: it went between open and read
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENODEV") return [];
    throw error;
  }
}

function tryRemove(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return true;
    if (errnoOf(error) === "EBUSY") return false;
    throw error;
  }
}
