import { chmod, chown, mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, messageOf } from "../../base/error.ts";
import { newUuid } from "../../base/id.ts";
import type { BackendSandbox, ProbeCheck, ProbeReport, SandboxSpec } from "../../sandbox/backend.ts";
import { findBwrap, isOlder } from "./find-bwrap.ts";
import type { Machine, MachineOptions } from "./machine.ts";
import { namespaceRemedy } from "./namespace-remedy.ts";

/** first bwrap without CVE-2026-87766 */
const FIXED = [0, 12, 0] as const;

export type ProbeMeans = {
  readonly options: MachineOptions;
  readonly machine: () => Promise<Machine>;
  readonly create: (spec: SandboxSpec) => Promise<BackendSandbox>;
  readonly signal: AbortSignal;
};

/** Tries everything by doing it: the same programs, flags and hand-over as a real sandbox. */
export async function probeMachine(means: ProbeMeans): Promise<ProbeReport> {
  const checks: ProbeCheck[] = [await checkBwrap(means.options)];
  const machine = await attempt("preparations", means.machine, () => "guest programs, system call filter and folders are in place");
  checks.push(machine.check);
  if (machine.value !== undefined) {
    checks.push(...describe(machine.value));
    const { value } = machine;
    const started = await attempt(
      "sandbox",
      () => startOne(value, means),
      () => "a sandbox was started with every flag, its sockets were handed over, and a command ran in it",
    );
    checks.push(withRemedy(started.check));
  }
  return { available: checks.every((check) => check.ok || !check.required), checks };
}

async function attempt<T>(
  name: string,
  work: () => Promise<T>,
  detail: (value: T) => string,
): Promise<{ readonly check: ProbeCheck; readonly value?: T }> {
  try {
    const value = await work();
    return { check: { name, ok: true, required: true, detail: detail(value) }, value };
  } catch (error) {
    const hint = error instanceof AppError ? error.hint : undefined;
    return { check: { name, ok: false, required: true, detail: messageOf(error), ...(hint === undefined ? {} : { remedy: hint }) } };
  }
}

async function checkBwrap(options: MachineOptions): Promise<ProbeCheck> {
  const { check } = await attempt(
    "bubblewrap",
    () => findBwrap(options.bwrapPath),
    ({ path, version }) => `${path} ${version.join(".")}, not setuid`,
  );
  return check;
}

function describe(machine: Machine): readonly ProbeCheck[] {
  const { version } = machine.bwrap;
  const isOld = isOlder(version, FIXED);
  const checks: ProbeCheck[] = [
    {
      name: "CVE-2026-87766",
      ok: !isOld,
      required: false,
      detail: isOld
        ? `bwrap ${version.join(".")} follows symlinks when it makes mount points; agentkernel makes none where a sandbox can write`
        : `bwrap ${version.join(".")} has the fix`,
      ...(isOld ? { remedy: `upgrade bubblewrap to ${FIXED.join(".")} when your distribution has it` } : {}),
    },
  ];
  if (machine.pool !== undefined) {
    const { firstUid, count } = machine.pool.range;
    checks.push({
      name: "sandbox uids",
      ok: true,
      required: true,
      detail: `each sandbox runs as a uid of its own from ${firstUid} to ${firstUid + count - 1}`,
    });
  }
  checks.push(describeGroups(machine));
  return checks;
}

function describeGroups(machine: Machine): ProbeCheck {
  const { cgroups } = machine;
  const name = "control groups";
  const missing = (["memory", "pids", "cpu"] as const).filter((controller) => !machine.means.controllers.has(controller));
  if (cgroups !== undefined)
    return {
      name,
      ok: missing.length === 0,
      required: false,
      detail: `version ${cgroups.version}: ${[...cgroups.controllers].join(", ")}${missing.length > 0 ? `; not: ${missing.join(", ")}` : ""}`,
    };
  return {
    name,
    ok: false,
    required: false,
    detail: "none can be made: memory is held by a watchdog every 100 ms, processes by a resource limit, cpus by binding to whole cores",
    remedy:
      machine.pool === undefined ? "start agentkernel as root where exact limits matter" : "mount the control group file system writable",
  };
}

function withRemedy(check: ProbeCheck): ProbeCheck {
  if (check.ok) return check;
  const known = namespaceRemedy();
  return known === undefined ? check : { ...check, detail: `${check.detail} (${known.detail})`, remedy: known.remedy };
}

/** A sandbox of nothing: reached by its uid because it lies in the stage directory. */
async function startOne(machine: Machine, means: ProbeMeans): Promise<void> {
  const base = await mkdtemp(join(machine.stage.path, "probe-"));
  try {
    const [homeDir, runDir] = [join(base, "home"), join(base, "run")];
    await mkdir(homeDir);
    // mkdtemp makes it 0700, closed to the uid that home is handed to
    await chmod(base, 0o711);
    let handedOver = 0;
    const sandbox = await means.create({
      uuid: newUuid(),
      name: "probe",
      hostname: "probe",
      env: {},
      workdir: "/",
      homeDir,
      mounts: [],
      files: {},
      limits: { memoryBytes: 64 << 20, cpus: 1, pids: 64, openFiles: 256, scratchBytes: 1 << 20, required: [] },
      network: {
        kind: "gateway",
        ports: [53, 80, 443],
        attach: async (listeners) => {
          handedOver = listeners.tcp.size;
          for (const server of listeners.tcp.values()) server.close();
          listeners.dns?.close();
        },
      },
      prepare: (owner) => chown(homeDir, owner.uid, owner.gid),
      runDir,
    });
    try {
      if (handedOver !== 3) throw new AppError("BACKEND_UNAVAILABLE", `only ${handedOver} of 3 listening sockets arrived`);
      const exec = await sandbox.exec({ argv: ["/usr/bin/true"], env: {}, cwd: "/" }, { signal: means.signal });
      exec.stdout.resume();
      exec.stderr.resume();
      const { code } = await exec.exited;
      if (code !== 0) throw new AppError("BACKEND_UNAVAILABLE", `/usr/bin/true exited with ${code} in a sandbox`);
    } finally {
      await sandbox[Symbol.asyncDispose]();
    }
  } finally {
    await rm(base, { recursive: true, force: true });
  }
}
