import type { Backend, BackendSandbox } from "./backend.ts";
import { prepareFolders, type StartOptions } from "./folders.ts";
import { writeHomeFiles } from "./home-files.ts";
import { INSIDE } from "./inside.ts";
import { LiveSandbox } from "./live.ts";
import type { ManagerOptions, SandboxSurroundings } from "./manager-options.ts";
import type { SandboxRecord } from "./record.ts";
import { hostnameOf } from "./subject.ts";
import type { WorkspaceCopySession } from "./workspace/session.ts";

type Starter = Pick<ManagerOptions, "surroundings" | "log"> & { readonly backend: Backend; readonly dir: string };

/** A sandbox that runs, with what belongs to it on this side. */
export type Started = {
  readonly live: LiveSandbox;
  readonly env: Readonly<Record<string, string>>;
  readonly copy: WorkspaceCopySession | undefined;
};

/**
 * Makes folders, network and sandbox. Whatever fails, none of them stays, folders excepted.
 * @param settle takes what enforces its limits; no command runs in it before this has resolved
 */
export async function startSandbox(
  { backend, dir, surroundings: surround, log }: Starter,
  record: SandboxRecord,
  options: StartOptions,
  settle: (enforcedBy: BackendSandbox["limits"]) => Promise<void>,
): Promise<Started> {
  let sandbox: BackendSandbox | undefined;
  let surroundings: SandboxSurroundings | undefined;
  try {
    const prepared = await prepareFolders(record, dir, log, options);
    surroundings = await surround(record);
    const request = requestOf(record, prepared, surroundings);
    sandbox = await backend.create(request, { signal: options.signal, log });
    await prepared.handedOver();
    if (surroundings.homeFiles !== undefined) await writeHomeFiles(sandbox, surroundings.homeFiles, surroundings.env, options.signal);
    await settle(sandbox.limits);
    return { live: new LiveSandbox(sandbox, surroundings.link()), env: surroundings.env, copy: prepared.copy };
  } catch (error) {
    await sandbox?.stop({ kind: "backend", message: "the start failed" });
    await sandbox?.[Symbol.asyncDispose]();
    await surroundings?.link()?.[Symbol.asyncDispose]();
    throw error;
  }
}

type Prepared = Awaited<ReturnType<typeof prepareFolders>>;

function requestOf(
  record: SandboxRecord,
  prepared: Prepared,
  { env, files, network }: SandboxSurroundings,
): Parameters<Backend["create"]>[0] {
  const { limits, image, workspace } = record;
  return {
    uuid: record.uuid,
    name: record.name,
    hostname: hostnameOf(record.name),
    env,
    workdir: INSIDE.workspace,
    homeDir: prepared.homeDir,
    ...(prepared.workspaceDir === undefined ? {} : { workspaceDir: prepared.workspaceDir }),
    mounts: record.mounts,
    files,
    limits: {
      memoryBytes: limits.memory,
      cpus: limits.cpu,
      pids: limits.pids,
      openFiles: limits.files,
      scratchBytes: limits.disk,
      required: record.requiredLimits,
    },
    network,
    ...(image === undefined ? {} : { image }),
    ...(workspace?.owner === undefined ? {} : { owner: workspace.owner }),
    prepare: prepared.handOver,
    runDir: prepared.runDir,
  };
}
