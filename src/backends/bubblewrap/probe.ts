import type { BackendSandbox, ProbeReport, SandboxSpec } from "../../sandbox/backend.ts";
import type { BubblewrapOptions } from "./backend.ts";
import type { Machine } from "./machine.ts";
export async function probeMachine(_: { machine: () => Promise<Machine>; create: (spec: SandboxSpec) => Promise<BackendSandbox>; options: BubblewrapOptions; signal: AbortSignal }): Promise<ProbeReport> {
  return { available: true, checks: [] };
}
