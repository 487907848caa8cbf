import { realpath, stat } from "node:fs/promises";
import { isAbsolute, relative, sep } from "node:path";
import { AppError, errnoOf } from "../../base/error.ts";
import type { FileOwner } from "../backend.ts";

/** How the sandbox gets its workspace. */
export type WorkspacePlan =
  | { readonly mode: "none" }
  /** bound as it is; `owner` is whom the sandbox runs as, where we may choose */
  | { readonly mode: "direct"; readonly path: string; readonly owner?: FileOwner }
  | { readonly mode: "copy"; readonly path: string };

export type WorkspaceRequest = {
  /** host directory; null: none */
  readonly path: string | null;
  /** asked for, or the profile's rule */
  readonly copy: boolean;
  /** uid of this process */
  readonly uid: number;
  /** directories that hold our own state, keys and configuration */
  readonly forbidden: readonly string[];
};

/** Direct where the sandbox's uid owns it, else a copy (product.md, Workspace). @throws VALIDATION with the remedy */
export async function chooseWorkspace(request: WorkspaceRequest): Promise<WorkspacePlan> {
  if (request.path === null) return { mode: "none" };
  const path = await directoryOf(request.path);
  await refuseOwnState(path, request.forbidden, "workspace");
  if (request.copy) return { mode: "copy", path };
  if (request.uid !== 0) return { mode: "direct", path };
  const owner = await stat(path);
  // root's own directory is never written by a sandbox directly: it would have to run as root
  return owner.uid === 0 ? { mode: "copy", path } : { mode: "direct", path, owner: { uid: owner.uid, gid: owner.gid } };
}

/** The real path of an existing directory. */
export async function directoryOf(path: string): Promise<string> {
  if (!isAbsolute(path))
    throw new AppError("VALIDATION", `${path} is not an absolute path`, { hint: "give the directory as an absolute path" });
  const real = await realpath(path).catch((error: unknown) => {
    const hint = "create it, or give another one";
    if (errnoOf(error) === "ENOENT") throw new AppError("VALIDATION", `the directory ${path} does not exist`, { hint });
    throw new AppError("VALIDATION", `the directory ${path} cannot be used`, { cause: error, hint });
  });
  if (!(await stat(real)).isDirectory()) throw new AppError("VALIDATION", `${path} is not a directory`, { hint: "give a directory" });
  return real;
}

/** A directory that holds, or lies in, our own state or configuration never enters a sandbox. */
export async function refuseOwnState(path: string, forbidden: readonly string[], what: "workspace" | "mount"): Promise<void> {
  for (const entry of forbidden) {
    const own = await realpath(entry).catch(() => entry);
    if (!contains(path, own) && !contains(own, path)) continue;
    throw new AppError("VALIDATION", `the ${what} ${path} and agentkernel's own ${own} contain one another`, {
      hint:
        what === "workspace"
          ? "choose a project directory with --workspace DIR, or run with --no-workspace"
          : "mount a directory beside it",
    });
  }
}

function contains(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return way === "" || (way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}
