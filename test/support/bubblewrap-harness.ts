import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import { newUuid } from "../../src/base/id.ts";
import { createBubblewrapBackend } from "../../src/backends/bubblewrap/backend.ts";
import type { Backend, BackendSandbox, SandboxSpec } from "../../src/sandbox/backend.ts";
import { AttachRecorder } from "./attach-recorder.ts";
import { tempDir } from "./temp.ts";

/** A backend with folders of its own and a stand-in for the gateway; everything it started goes with the scope. */
export type Harness = AsyncDisposable & {
  readonly backend: Backend;
  readonly gateway: AttachRecorder;
  readonly base: string;
  /** folders made, gateway network, small limits */
  spec(overrides?: Partial<SandboxSpec>): Promise<SandboxSpec>;
  create(overrides?: Partial<SandboxSpec>): Promise<BackendSandbox>;
};

let guestDirOfAll: string | undefined;

/** Where all harnesses of this process find the guest programs from now on. */
export function useGuestDir(path: string): void {
  guestDirOfAll = path;
}

export const NEVER = new AbortController().signal;

/** Hands a directory over where the sandbox runs as another uid than we do. */
export async function ownedBy(path: string, owner: { readonly uid: number; readonly gid: number }): Promise<void> {
  if (process.getuid?.() === 0) await chown(path, owner.uid, owner.gid);
}

export async function bubblewrapHarness(options: { readonly parent?: string; readonly guestDir?: string } = {}): Promise<Harness> {
  const resources = new AsyncDisposableStack();
  const base = options.parent ?? resources.use(await tempDir({ mode: 0o755 })).path;
  const gateway = resources.use(new AttachRecorder());
  const backend = createBubblewrapBackend({ stageDir: join(base, "stage"), log: silentLog, guestDir: options.guestDir ?? guestDirOfAll });
  let count = 0;
  const spec = async (overrides: Partial<SandboxSpec> = {}): Promise<SandboxSpec> => {
    count += 1;
    const [homeDir, runDir] = [join(base, `s${count}`, "home"), join(base, `s${count}`, "run")];
    await mkdir(homeDir, { recursive: true });
    const workspaceDir = overrides.workspaceDir;
    return {
      uuid: newUuid(),
      name: `s${count}`,
      hostname: `s${count}`,
      env: {},
      workdir: "/workspace",
      homeDir,
      mounts: [],
      files: {},
      limits: { memoryBytes: 256 << 20, cpus: 1, pids: 64, openFiles: 256, scratchBytes: 32 << 20, required: [] },
      network: { kind: "gateway", ports: [53, 80, 443], attach: gateway.attach },
      runDir,
      prepare: async (owner) => {
        await ownedBy(homeDir, owner);
        if (workspaceDir !== undefined) await ownedBy(workspaceDir, owner);
      },
      ...overrides,
    };
  };
  const create = async (overrides: Partial<SandboxSpec> = {}): Promise<BackendSandbox> =>
    resources.use(await backend.create(await spec(overrides), { signal: NEVER, log: silentLog }));
  return { backend, gateway, base, spec, create, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}
