import { writeFileSync } from "node:fs";
import { messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";

/**
 * From here on a core dump of this process, and of those it starts, holds none of its memory, which has values of secrets in it
 * (core(5), "Controlling which mappings are written"). The kernel writes dumps past every limit when they go to a program.
 */
export function keepOutOfCoreDumps(log: Log): void {
  try {
    writeFileSync("/proc/self/coredump_filter", "0");
  } catch (error) {
    // a kernel without core dumps has no such file; one that forbids it is told of
    log.warn("memory could not be kept out of core dumps", { error: messageOf(error) });
  }
}
