import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";

export type Machine = {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly system: string;
  readonly node: string;
  readonly bwrap: string;
  /** of the last minute, when the run began: what else the machine did */
  readonly load: number;
};

export function describeMachine(): Machine {
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  return {
    cpu: cpus()[0]?.model.trim() ?? "?",
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    system,
    node: process.version,
    bwrap: /[\d.]+/.exec(`${spawnSync("bwrap", ["--version"], { encoding: "utf8" }).stdout}`)?.[0] ?? "absent",
    load: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}
