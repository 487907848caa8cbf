import { access, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, messageOf } from "../../base/error.ts";
import { removeTree } from "../../base/remove-tree.ts";
import type { FileOwner } from "../backend.ts";
import { applyChanges } from "./apply.ts";
import { type Baseline, loadBaseline, saveBaseline } from "./baseline.ts";
import { type Changes, isEmpty } from "./changes.ts";
import { copyChanges, copyWorkspace, handOver, isOriginalUntouched } from "./copy.ts";
import { type Manifest, readManifest } from "./manifest.ts";
import { sensitivePaths } from "./sensitive.ts";

/** What became of a workspace when its sandbox stopped. Paths are shown as UTF-8. */
export type WorkspaceResult = {
  readonly created: number;
  readonly modified: number;
  readonly deleted: number;
  /** changed files that run on the host later */
  readonly sensitive: readonly string[];
  readonly applied: boolean;
  /** where the copy stays, when it was not applied */
  readonly keptAt?: string;
  /** why it was not applied although it should have been */
  readonly conflict?: string;
};

const UNCHANGED: WorkspaceResult = { created: 0, modified: 0, deleted: 0, sensitive: [], applied: true };

/** The workspace of one sandbox while it runs on a copy of `original`. */
export class WorkspaceCopySession {
  readonly original: string;
  readonly copy: string;
  readonly #baselineFile: string;
  #originalBefore: Manifest | undefined;
  #resumed: Baseline | undefined;

  constructor(original: string, sandboxDir: string) {
    this.original = original;
    this.copy = join(sandboxDir, "workspace");
    this.#baselineFile = join(sandboxDir, "workspace.json");
  }

  /** Makes the copy, or takes up one that an earlier run left with changes in it. Returns paths that could not be copied. */
  async prepare(signal?: AbortSignal, onProgress?: (copied: number, of: number) => void): Promise<readonly string[]> {
    const earlier = await loadBaseline(this.#baselineFile);
    if (earlier !== undefined && earlier.original === this.original && (await exists(this.copy))) {
      this.#resumed = earlier;
      return [];
    }
    await removeTree(this.copy);
    const made = await copyWorkspace(this.original, this.copy, {
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    this.#originalBefore = made.originalBefore;
    return made.skipped;
  }

  /** Gives the copy to the uid that the sandbox runs as and remembers what it looks like then. */
  async handOver(owner: FileOwner | undefined): Promise<void> {
    if (this.#resumed !== undefined) {
      // a new owner changes every ctime, so what the sandbox changed before is carried in the baseline as it was
      const changed = await copyChanges(this.copy, this.#resumed.copyBefore);
      if (owner !== undefined) await handOver(this.copy, owner);
      const now = await readManifest(this.copy);
      const touched = new Set([...changed.created, ...changed.modified, ...changed.deleted]);
      const copyBefore = new Map([...now].filter(([path]) => !touched.has(path)));
      for (const path of touched) {
        const before = this.#resumed.copyBefore.get(path);
        if (before !== undefined) copyBefore.set(path, before);
      }
      this.#originalBefore = this.#resumed.originalBefore;
      await this.#save(copyBefore);
      return;
    }
    if (owner !== undefined) await handOver(this.copy, owner);
    await this.#save(await readManifest(this.copy));
  }

  /** What the sandbox changed so far. */
  async changes(): Promise<Changes> {
    const baseline = await loadBaseline(this.#baselineFile);
    return baseline === undefined ? { created: [], modified: [], deleted: [] } : copyChanges(this.copy, baseline.copyBefore);
  }

  /**
   * After the sandbox stopped: writes the changes back when `apply`, else keeps the copy. Nothing of it runs any more. A copy that
   * cannot be read or written back is kept: what a sandbox made of its copy must not keep it from being removed.
   */
  async finish(apply: boolean): Promise<WorkspaceResult> {
    let baseline: Baseline | undefined;
    let changes: Changes;
    try {
      baseline = await loadBaseline(this.#baselineFile);
      if (baseline === undefined) return UNCHANGED;
      changes = await copyChanges(this.copy, baseline.copyBefore);
    } catch (error) {
      const conflict = `what the sandbox changed cannot be told: ${messageOf(error)}; nothing was applied`;
      return { ...UNCHANGED, applied: false, keptAt: this.copy, conflict };
    }
    if (isEmpty(changes)) {
      await this.#forget();
      return UNCHANGED;
    }
    const result = {
      created: changes.created.length,
      modified: changes.modified.length,
      deleted: changes.deleted.length,
      sensitive: sensitivePaths([...changes.created, ...changes.modified, ...changes.deleted]).map(shown),
    };
    if (!apply) return { ...result, applied: false, keptAt: this.copy };
    if (!(await this.#isOriginalUntouched(baseline))) {
      return {
        ...result,
        applied: false,
        keptAt: this.copy,
        conflict: `${this.original} was changed on the host while the sandbox worked on its copy; nothing was applied`,
      };
    }
    try {
      await applyChanges(this.copy, this.original, changes);
    } catch (error) {
      const isWhole = error instanceof AppError && error.code === "TOO_LARGE";
      const what = isWhole ? `${messageOf(error)}; nothing was applied` : `writing back failed half way: ${messageOf(error)}`;
      return { ...result, applied: false, keptAt: this.copy, conflict: what };
    }
    await this.#forget();
    return { ...result, applied: true };
  }

  /** One that is gone, or that cannot be read any more, was changed too. */
  async #isOriginalUntouched({ originalBefore }: Baseline): Promise<boolean> {
    try {
      return await isOriginalUntouched({ original: this.original, copy: this.copy, originalBefore, skipped: [] });
    } catch {
      return false;
    }
  }

  async #save(copyBefore: Manifest): Promise<void> {
    if (this.#originalBefore === undefined) throw new Error("a workspace copy is prepared before it is handed over");
    await saveBaseline(this.#baselineFile, { original: this.original, originalBefore: this.#originalBefore, copyBefore });
  }

  async #forget(): Promise<void> {
    await rm(this.#baselineFile, { force: true });
    await removeTree(this.copy);
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function shown(path: string): string {
  return Buffer.from(path, "latin1").toString("utf8");
}
