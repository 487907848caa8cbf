import { lchownSync } from "node:fs";
import { chmod, mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../base/log.ts";
import { removeTree } from "../base/remove-tree.ts";
import type { FileOwner } from "./backend.ts";
import type { SandboxRecord } from "./record.ts";
import { handOver } from "./workspace/copy.ts";
import { WorkspaceCopySession } from "./workspace/session.ts";

/** What of the host's file system a sandbox starts on. */
export type Folders = {
  readonly homeDir: string;
  readonly runDir: string;
  readonly workspaceDir: string | undefined;
  readonly copy: WorkspaceCopySession | undefined;
  /** gives home and copy to whom the sandbox runs as */
  readonly handOver: (owner: FileOwner) => Promise<void>;
  /** for a backend that runs as the caller does, and so hands nothing over */
  readonly handedOver: () => Promise<void>;
};

/** Who waits for a start: may give it up, and is told what takes long and what is left out. */
export type StartOptions = { readonly signal: AbortSignal; readonly tell?: ((text: string) => void) | undefined };

/** ms until a copy is worth a word, and between two */
const PROGRESS_MS = 2_000;

function progressOf(tell: (text: string) => void): (copied: number, of: number) => void {
  let toldAt = performance.now();
  return (copied, of) => {
    if (performance.now() - toldAt < PROGRESS_MS) return;
    toldAt = performance.now();
    tell(`copying the workspace: ${copied} of ${of} entries`);
  };
}

/** The copy of a sandbox's workspace, when it works on one. */
export function copyOf(record: SandboxRecord, dir: string): WorkspaceCopySession | undefined {
  return record.workspace?.mode === "copy" ? new WorkspaceCopySession(record.workspace.path, dir) : undefined;
}

/** Makes the folders of a sandbox in `dir`, the copy of its workspace among them; takes up those that an earlier run left. */
export async function prepareFolders(
  record: SandboxRecord,
  dir: string,
  log: Log,
  { signal, tell = (text) => log.info(text, { sandbox: record.name }) }: StartOptions,
): Promise<Folders> {
  const homeDir = join(dir, "home");
  const runDir = join(dir, "run");
  await mkdir(dir, { recursive: true, mode: 0o711 });
  // undefined: it was there
  const [madeHome] = await Promise.all([mkdir(homeDir, { recursive: true, mode: 0o700 }), chmod(dir, 0o711)]);
  const isNewHome = madeHome !== undefined;
  const copy = copyOf(record, dir);
  const skipped = (await copy?.prepare(signal, progressOf(tell))) ?? [];
  if (skipped.length > 0) tell(`${skipped.length} entries of the workspace that cannot be copied (sockets, FIFOs, devices) were left out`);
  let done = false;
  const handOverAll = async (owner: FileOwner | undefined): Promise<void> => {
    done = true;
    // nobody but us could put anything into one that we have just made
    if (owner !== undefined && isNewHome) lchownSync(homeDir, owner.uid, owner.gid);
    else if (owner !== undefined) await handOver(homeDir, owner);
    await copy?.handOver(owner);
  };
  return {
    homeDir,
    runDir,
    copy,
    workspaceDir: copy?.copy ?? record.workspace?.path,
    handOver: handOverAll,
    handedOver: async () => {
      if (!done) await handOverAll(undefined);
    },
  };
}

/** Removes what `prepareFolders` made, and what came to lie there since. Each removal may wait for the journal of the file system. */
export async function removeFolders(dir: string): Promise<void> {
  // most sandboxes leave their home empty, and a walk through empty folders takes several times as long
  try {
    await rmdir(join(dir, "home"));
    await rmdir(dir);
  } catch {
    // whatever stood in the way: the walk removes it, or tells why it cannot
    await removeTree(dir);
  }
}
