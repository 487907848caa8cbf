import type { TreeEntry } from "./host-tree.ts";
import type { Machine } from "./machine.ts";
import { ownFiles, SHARED_FILES } from "./system-files.ts";

export type InsideFiles = {
  /** staged directory with everything in /etc that sandboxes share */
  readonly etc: string;
  /** further shared files: staged once, bound from there */
  readonly binds: readonly { readonly source: string; readonly target: string }[];
  /** this sandbox's own: bwrap copies them from descriptors */
  readonly data: readonly { readonly content: string; readonly target: string }[];
};

/** From this size a content is taken for one that many sandboxes share (a CA bundle), and not copied for each. */
const SHARED_FROM_CHARS = 4096;

/** Generated files, those of the caller in their place where both name one. */
export async function prepareFiles(
  machine: Pick<Machine, "stage" | "tree">,
  spec: { readonly hostname: string; readonly files: Readonly<Record<string, string>> },
): Promise<InsideFiles> {
  const contents = { ...SHARED_FILES, ...ownFiles(spec.hostname), ...spec.files };
  const etc: Record<string, TreeEntry> = { ...machine.tree.etc };
  const binds: { source: string; target: string }[] = [];
  const data: { content: string; target: string }[] = [];
  for (const [target, content] of Object.entries(contents)) {
    const isShared = content === SHARED_FILES[target] || content.length >= SHARED_FROM_CHARS;
    const inEtc = target.startsWith("/etc/");
    // a small one in /etc finds its mount point there
    if (inEtc) etc[target.slice("/etc/".length)] = { content: isShared ? content : "" };
    if (isShared && !inEtc) binds.push({ source: await machine.stage.file(content), target });
    if (!isShared) data.push({ content, target });
  }
  return { etc: await machine.stage.directory(etc), binds, data };
}
