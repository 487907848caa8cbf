import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { errnoOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";

/**
 * Live processes (no zombies) by their real uid, of those that `wanted` names. Synchronous: reading from /proc is no I/O, and by way of
 * the thread pool a hundred processes took ten times as long.
 */
export function processesOf(wanted: (uid: number) => boolean): readonly { readonly pid: number; readonly uid: number }[] {
  const found: { pid: number; uid: number }[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const status = readFileSync(`/proc/${name}/status`, "latin1");
      const uid = Number(/^Uid:\t(\d+)/m.exec(status)?.[1] ?? Number.NaN);
      if (!/^State:\t[ZX]/m.test(status) && wanted(uid)) found.push({ pid: Number(name), uid });
    } catch (error) {
      // it ended meanwhile
      if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ESRCH") throw error;
    }
  }
  return found;
}

export type StrayOptions = {
  /** uids that belong to sandboxes */
  readonly isOurs: (uid: number) => boolean;
  /** those of them that a living process holds at this moment */
  readonly leased: () => Promise<ReadonlySet<number>>;
  readonly log: Log;
  readonly timeoutMs?: number;
};

/**
 * Kills what runs under uids that belong to sandboxes and that nobody holds: there is nothing such unless a start was cut off at the
 * one moment that parent-death signals do not cover, or somebody else uses the range.
 */
export async function killStrays({ isOurs, leased, log, timeoutMs = 2000 }: StrayOptions): Promise<number> {
  const deadline = performance.now() + timeoutMs;
  let killed = 0;
  for (;;) {
    // leases are read after the processes: whoever was seen running under a uid had leased it before
    const seen = processesOf(isOurs);
    const held = await leased();
    const strays = seen.filter(({ uid }) => !held.has(uid));
    if (strays.length === 0) return killed;
    for (const { pid, uid } of strays) {
      try {
        process.kill(pid, "SIGKILL");
        killed += 1;
        log.warn("killed a process that was left behind under a sandbox's uid", { pid, uid });
      } catch (error) {
        if (errnoOf(error) !== "ESRCH") throw error;
      }
    }
    if (performance.now() > deadline) {
      log.error("processes under sandbox uids do not end", { pids: strays.map((stray) => stray.pid) });
      return killed;
    }
    await delay(10);
  }
}
