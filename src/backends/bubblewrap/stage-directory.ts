import { createHash, randomBytes } from "node:crypto";
import { chmod, link, lstat, mkdir, open, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError, errnoOf } from "../../base/error.ts";
import { livenessOf, ownIdentity } from "../../base/process-identity.ts";
import { removeTree } from "../../base/remove-tree.ts";
import { holderName, parseHolderName } from "./holder-name.ts";
import type { TreeEntry } from "./host-tree.ts";

/**
 * A directory that every sandbox's host uid can reach (0755, owned by us), with the programs and files that stand in sandboxes
 * under names that hold their content's hash. A checkout under a home of mode 0700 is not reachable for them.
 */
export class StageDirectory {
  readonly path: string;
  readonly #byContent = new Map<string, string>();
  readonly #digests = new Map<string | Buffer, string>();
  readonly #placing = new Map<string, Promise<string>>();
  readonly #byPath = new Map<string, { readonly staged: string; readonly mtimeMs: number; readonly size: number }>();

  private constructor(path: string) {
    this.path = path;
  }

  /** @throws AppError STATE_UNUSABLE when somebody else could replace what lies there */
  static async open(path: string): Promise<StageDirectory> {
    await mkdir(path, { recursive: true, mode: 0o755 });
    const info = await lstat(path);
    const uid = process.getuid?.() ?? 0;
    if (!info.isDirectory() || info.uid !== uid)
      throw new AppError("STATE_UNUSABLE", `${path} must be a directory owned by uid ${uid}`, { hint: `remove ${path} and start again` });
    if ((info.mode & 0o022) !== 0)
      throw new AppError("STATE_UNUSABLE", `${path} can be written by others, who could replace what stands in sandboxes`, {
        hint: `chmod go-w ${path}`,
      });
    if ((info.mode & 0o055) !== 0o055) await chmod(path, 0o755);
    await mkdir(join(path, "scratch"), { recursive: true, mode: 0o755 });
    await removeDrafts(path);
    return new StageDirectory(path);
  }

  /** Where stage 1 mounts a sandbox's scratch file system, each in a mount namespace of its own. */
  get scratch(): string {
    return join(this.path, "scratch");
  }

  /** A copy of a program of ours; made again when the original has changed. */
  async program(source: string): Promise<string> {
    const info = await stat(source);
    const known = this.#byPath.get(source);
    if (known !== undefined && known.mtimeMs === info.mtimeMs && known.size === info.size) return known.staged;
    const staged = await this.#place(await readFile(source), 0o755);
    this.#byPath.set(source, { staged, mtimeMs: info.mtimeMs, size: info.size });
    return staged;
  }

  /** A read-only file with this content. For what many sandboxes share: nothing here is ever removed while the program runs. */
  async file(content: string | Buffer): Promise<string> {
    const key = typeof content === "string" ? content : content.toString("latin1");
    const known = this.#byContent.get(key);
    if (known !== undefined) return known;
    const staged = await this.#place(Buffer.from(content), 0o444);
    // the few bundles and programs of this installation; a caller with ever new content must not fill memory
    if (this.#byContent.size >= 32) this.#byContent.clear();
    this.#byContent.set(key, staged);
    return staged;
  }

  /** A directory with these entries, all readable and none writable; the same entries give the same directory. */
  async directory(entries: Readonly<Record<string, TreeEntry>>): Promise<string> {
    const lines = Object.keys(entries)
      .sort()
      .map((name) => [name, this.#describe(entries[name] ?? { directory: true })]);
    const target = join(this.path, `${createHash("sha256").update(JSON.stringify(lines)).digest("hex")}-tree`);
    let placing = this.#placing.get(target);
    if (placing === undefined) {
      placing = placeTree(target, entries);
      if (this.#placing.size >= 32) this.#placing.clear();
      this.#placing.set(target, placing);
      placing.catch(() => this.#placing.delete(target));
    }
    return placing;
  }

  #describe(entry: TreeEntry): string {
    if ("directory" in entry) return "directory";
    if ("symlink" in entry) return `symlink ${entry.symlink}`;
    let digest = this.#digests.get(entry.content);
    if (digest === undefined) {
      digest = createHash("sha256").update(entry.content).digest("hex");
      if (this.#digests.size >= 64) this.#digests.clear();
      this.#digests.set(entry.content, digest);
    }
    return digest;
  }

  async #place(content: Buffer, mode: number): Promise<string> {
    const target = join(this.path, `${createHash("sha256").update(content).digest("hex")}-${mode.toString(8)}`);
    if (await isComplete(target, content.length)) return target;
    const temporary = draftIn(this.path);
    try {
      const handle = await open(temporary, "wx", mode);
      try {
        await handle.writeFile(content);
        // the umask does not count here
        await handle.chmod(mode);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await replace(temporary, target, content.length);
    } finally {
      await rm(temporary, { force: true });
    }
    return target;
  }
}

/** A name for what is not whole yet, which says who makes it. */
export function draftIn(directory: string): string {
  return join(directory, `.${holderName(ownIdentity(), randomBytes(6).toString("hex"))}`);
}

/** Of processes that were killed. */
async function removeDrafts(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const draft = name.startsWith(".") ? parseHolderName(name.slice(1)) : undefined;
    if (draft !== undefined && livenessOf(draft.holder) === "dead") await removeTree(join(directory, name));
  }
}

async function isComplete(path: string, size: number): Promise<boolean> {
  try {
    const info = await lstat(path);
    return info.isFile() && info.size === size;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** Another process may place the same content at the same time: the first one stays. */
async function replace(temporary: string, target: string, size: number): Promise<void> {
  try {
    await link(temporary, target);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    if (await isComplete(target, size)) return;
    await rm(target, { recursive: true, force: true });
    await link(temporary, target);
  }
}

/** Made aside and renamed, so that what stands at `target` is whole. */
async function placeTree(target: string, entries: Readonly<Record<string, TreeEntry>>): Promise<string> {
  try {
    if ((await lstat(target)).isDirectory()) return target;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  const temporary = draftIn(dirname(target));
  try {
    await makeDirectory(temporary);
    for (const [name, entry] of Object.entries(entries)) {
      const path = join(temporary, name);
      const parents = name.split("/").slice(0, -1);
      for (const [depth] of parents.entries()) await makeDirectory(join(temporary, ...parents.slice(0, depth + 1)));
      if ("directory" in entry) await makeDirectory(path);
      else if ("symlink" in entry) await symlink(entry.symlink, path);
      else {
        await writeFile(path, entry.content, { flag: "wx" });
        await chmod(path, 0o444);
      }
    }
    await rename(temporary, target);
  } catch (error) {
    // another process was faster with the same content
    if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return target;
}

/** Whatever the umask is. */
async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, 0o755);
}
