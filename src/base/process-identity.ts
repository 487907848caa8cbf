import { readFileSync, readlinkSync } from "node:fs";
import { errnoOf } from "./error.ts";

/**
 * What names one process for ever: a pid alone is reused, so its start time (clock ticks since boot, proc(5) field 22), the boot
 * and the pid namespace belong to it.
 */
export type ProcessIdentity = {
  readonly pid: number;
  readonly startTicks: string;
  /** /proc/sys/kernel/random/boot_id, without dashes */
  readonly bootId: string;
  /** inode of the pid namespace */
  readonly pidNamespace: string;
};

let own: ProcessIdentity | undefined;

export function ownIdentity(): ProcessIdentity {
  own ??= {
    pid: process.pid,
    startTicks: readStat("self")?.startTicks ?? "0",
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim().replaceAll("-", ""),
    pidNamespace: /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "0",
  };
  return own;
}

/** `unknown`: it lives, if it does, in another pid namespace of this boot, where we cannot look. */
export function livenessOf(identity: ProcessIdentity): "alive" | "dead" | "unknown" {
  const here = ownIdentity();
  if (identity.bootId !== here.bootId) return "dead";
  if (identity.pidNamespace !== here.pidNamespace) return "unknown";
  const stat = readStat(String(identity.pid));
  // a zombie or a dying process executes nothing any more
  if (stat === undefined || stat.state === "Z" || stat.state === "X") return "dead";
  return stat.startTicks === identity.startTicks ? "alive" : "dead";
}

function readStat(pid: string): { readonly state: string; readonly startTicks: string } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch (error) {
    // ESRCH: it ended between open and read
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ESRCH") return undefined;
    throw error;
  }
  // the command name in field 2 may hold spaces and parentheses
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", startTicks: fields[19] ?? "0" };
}
