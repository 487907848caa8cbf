import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, errnoOf, isDiskFull } from "../base/error.ts";
import type { StatePaths } from "./paths.ts";

const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;
const OTHERS_SEARCH = 0o001;

/**
 * Makes the state folders. As an ordinary user all of them are private (0700). As root, sandboxes run under other uids that have to
 * pass through the state folder and through the parents of it, so it is searchable (0711) and what lies beside the sandboxes is not.
 *
 * @throws STATE_UNUSABLE or DISK_FULL in one line, with what helps
 */
export async function prepareState(paths: StatePaths, uid: number): Promise<void> {
  const shared = uid === 0 ? 0o711 : 0o700;
  await makeFolder(paths.state, shared, uid);
  if (uid === 0) await refuseUnsearchableParents(paths.state);
  for (const folder of [paths.run, paths.authority, paths.events, paths.delivery, dirname(paths.vaultKey)])
    await makeFolder(folder, 0o700, uid);
  for (const folder of [paths.sandboxes, paths.staged]) await makeFolder(folder, shared, uid);
  await makeConfigFolder(paths.config, uid);
}

async function makeFolder(path: string, mode: number, uid: number): Promise<void> {
  try {
    // one that is no directory is told of below
    await mkdir(path, { recursive: true, mode }).catch((error: unknown) => {
      if (errnoOf(error) !== "EEXIST") throw error;
    });
    const found = await lstat(path);
    if (!found.isDirectory())
      throw new AppError("STATE_UNUSABLE", `${path} is not a directory`, { hint: `move it away: mv ${path} ${path}.old` });
    if (found.uid !== uid) {
      throw new AppError("STATE_UNUSABLE", `${path} belongs to uid ${found.uid}, not to uid ${uid}`, {
        hint: "set AGENTKERNEL_HOME to a folder of your own",
      });
    }
    // an earlier umask, or a folder that was there already
    if ((found.mode & 0o777) !== mode) await setMode(path, mode);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw cannotPrepare(path, error, "AGENTKERNEL_HOME");
  }
}

/**
 * Keys lie in it with a mode of their own. Root's is /etc/agentkernel, which every user's command reads the configuration from, so it
 * must not become private; one that exists is its owner's business.
 */
async function makeConfigFolder(path: string, uid: number): Promise<void> {
  try {
    const made = await mkdir(path, { recursive: true, mode: 0o700 });
    if (made !== undefined && uid === 0) await setMode(path, 0o755);
  } catch (error) {
    throw cannotPrepare(path, error, "XDG_CONFIG_HOME");
  }
}

function cannotPrepare(path: string, error: unknown, variable: string): AppError {
  return new AppError(isDiskFull(error) ? "DISK_FULL" : "STATE_UNUSABLE", `cannot prepare ${path}: ${errnoOf(error) ?? "failed"}`, {
    cause: error,
    hint: isDiskFull(error) ? "free space on its file system" : `make its parent writable, or set ${variable}`,
  });
}

/** Through the descriptor, so that a folder swapped for a symlink after the check is not followed. */
async function setMode(path: string, mode: number): Promise<void> {
  await using handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW).catch(async (error: unknown) => {
    // a folder we own and may not read cannot be opened, only changed
    if (errnoOf(error) !== "EACCES") throw error;
    await chmod(path, mode);
    return await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  });
  await handle.chmod(mode);
}

/** Root's state may not lie where somebody else decides what its path leads to. */
async function refuseUnsearchableParents(path: string): Promise<void> {
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    const { mode, uid } = await stat(parent);
    if ((mode & OTHERS_SEARCH) === 0) {
      throw new AppError("STATE_UNUSABLE", `sandboxes cannot reach ${path}: ${parent} is not searchable by others`, {
        hint: `chmod o+x ${parent}, or set AGENTKERNEL_HOME to a folder below /var/lib`,
      });
    }
    if ((mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0) {
      throw new AppError("STATE_UNUSABLE", `everybody can replace ${path}: ${parent} is writable for all`, {
        hint: `chmod o-w ${parent}, or set AGENTKERNEL_HOME`,
      });
    }
    if (uid !== 0) {
      throw new AppError("STATE_UNUSABLE", `uid ${uid} can replace ${path}: ${parent} belongs to it`, {
        hint: "set AGENTKERNEL_HOME to a folder below /var/lib",
      });
    }
    if (parent === "/") return;
  }
}
