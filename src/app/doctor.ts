import { VERSION } from "../base/version.ts";
import type { Backend } from "../sandbox/backend.ts";
import type { DoctorReport } from "../schema/api.ts";

/** Tries everything that sandboxes need; every failed check comes with what mends it. */
export function createDoctor(backends: ReadonlyMap<string, Backend>): (signal: AbortSignal) => Promise<DoctorReport> {
  return async (signal) => {
    const reports = await Promise.all([...backends.values()].map((backend) => backend.probe(signal)));
    const node: DoctorReport["checks"][number] = {
      name: "node",
      ok: true,
      required: true,
      detail: `Node ${process.versions.node} on ${process.platform}-${process.arch}`,
    };
    const checks = reports.flatMap((report) => report.checks.map((check) => ({ ...check })));
    return { ok: reports.some((report) => report.available), version: VERSION, checks: [node, ...checks] };
  };
}
