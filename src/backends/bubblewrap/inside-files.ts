import { closeSync, openSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HOST_BUNDLE } from "./host-tree.ts";
import type { StageDirectory } from "./stage-directory.ts";
import { ownFiles, SHARED_FILES } from "./system-files.ts";

export type InsideFiles = {
  /** shared by sandboxes: staged once, bound from there */
  readonly binds: readonly { readonly source: string; readonly target: string }[];
  /** this sandbox's own: bwrap copies them from descriptors, whose directory its uid need not reach */
  readonly data: readonly { readonly fd: number; readonly target: string }[];
  /** closes the descriptors */
  close(): void;
};

/** From this size a content is taken for one that many sandboxes share (a CA bundle), and not copied for each. */
const SHARED_FROM_CHARS = 4096;

/** Generated files, those of the caller in their place where both name one. */
export async function prepareFiles(stage: StageDirectory, hostname: string, files: Readonly<Record<string, string>>, runDir: string, hasHostBundle: boolean): Promise<InsideFiles> {
  const contents = { ...SHARED_FILES, ...ownFiles(hostname), ...files };
  const binds: { source: string; target: string }[] = hasHostBundle && !(HOST_BUNDLE in contents) ? [{ source: HOST_BUNDLE, target: HOST_BUNDLE }] : [];
  const data: { fd: number; target: string }[] = [];
  const close = (): void => {
    for (const { fd } of data.splice(0)) closeSync(fd);
  };
  try {
    for (const [target, content] of Object.entries(contents)) {
      const isShared = content === SHARED_FILES[target] || content.length >= SHARED_FROM_CHARS;
      if (isShared) binds.push({ source: await stage.file(content), target });
      else data.push({ fd: openContent(join(runDir, `.file-${data.length}`), content), target });
    }
    return { binds, data, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** A descriptor of a file that has no name any more. */
function openContent(path: string, content: string): number {
  writeFileSync(path, content, { mode: 0o600 });
  try {
    return openSync(path, "r");
  } finally {
    unlinkSync(path);
  }
}
