import type { Log } from "../base/log.ts";
import { createBubblewrapBackend } from "../backends/bubblewrap/backend.ts";
import type { StatePaths } from "../config/paths.ts";
import type { Backend } from "../sandbox/backend.ts";
import { join } from "node:path";

/** The ways of running a sandbox in this version. */
export function createBackends(options: {
  readonly paths: StatePaths;
  readonly uid: number;
  readonly log: Log;
}): ReadonlyMap<string, Backend> {
  const { paths, uid, log } = options;
  // leases of sandbox uids belong to the machine, not to one state directory
  const leaseDir = uid === 0 ? "/run/agentkernel/uids" : join(paths.run, "uids");
  return new Map<string, Backend>([["bubblewrap", createBubblewrapBackend({ stageDir: paths.staged, leaseDir, log })]]);
}
