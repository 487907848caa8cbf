import { chmod, constants, copyFile, link, lstat, mkdir, mkdtemp, readdir, readFile, realpath, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { AppError, errnoOf } from "../base/error.ts";
import { livenessOf, ownIdentity } from "../base/process-identity.ts";
import { removeTree } from "../base/remove-tree.ts";

/**
 * Puts what the demo needs inside a sandbox into one folder, readable by every uid, since a checkout under a home of mode 0700 is not:
 * Node, the SDKs with what they depend on, the agent. Files are linked or reflinked where the file system allows, and never changed.
 */
export type StagedDemo = AsyncDisposable & {
  /** this process's own, removed with it */
  readonly dir: string;
  /** the command, once the folder is mounted at `at` */
  command(at: string): readonly [string, ...string[]];
  readonly fileCount: number;
};

const SDKS = ["openai", "@anthropic-ai/sdk"];

/** Neither run nor read by Node: type declarations, source maps, the sources they point to. */
const LEFT_OUT = /(\.d\.[cm]?ts|\.map|\.[cm]?tsx?|\.md)$/;
const LEFT_OUT_FOLDERS = new Set(["src", "node_modules", "docs", "examples"]);

/** @throws STATE_UNUSABLE when an SDK is not installed, with the line that installs it */
export async function stageDemo(parent: string, node: string = process.execPath): Promise<StagedDemo> {
  await mkdir(parent, { recursive: true, mode: 0o711 });
  await removeLeftOvers(parent);
  const { pid, startTicks, pidNamespace } = ownIdentity();
  const dir = await mkdtemp(join(parent, `demo-${pid}-${startTicks}-${pidNamespace}-`));
  try {
    return await fill(dir, node);
  } catch (error) {
    await removeTree(dir);
    throw error;
  }
}

/** Of demos that were killed. One that runs has its folder mounted. */
async function removeLeftOvers(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const [, pid, startTicks, pidNamespace] = /^demo-(\d+)-(\d+)-(\d+)-/.exec(name) ?? [];
    if (pid === undefined || startTicks === undefined || pidNamespace === undefined) continue;
    const maker = { ...ownIdentity(), pid: Number(pid), startTicks, pidNamespace };
    if (livenessOf(maker) === "dead") await removeTree(join(parent, name));
  }
}

async function fill(dir: string, node: string): Promise<StagedDemo> {
  await chmod(dir, 0o755);
  const count = { files: 0 };
  await placeFile(await realpath(node), join(dir, "node"), count);
  const agent = await findAgent();
  await placeFile(agent, join(dir, basename(agent)), count);
  // without it Node looks for a package.json further up, outside of the mount
  await writeFile(join(dir, "package.json"), '{"private":true,"type":"module"}\n', { mode: 0o644 });
  const placed = new Set<string>();
  for (const sdk of SDKS) await placePackage(sdk, import.meta.url, join(dir, "node_modules"), placed, count);
  return {
    dir,
    command: (at) => [join(at, "node"), join(at, basename(agent))],
    fileCount: count.files,
    [Symbol.asyncDispose]: () => removeTree(dir),
  };
}

/** In dist/demo/ it stands compiled, in a checkout's src/demo/ as source, which Node 24 runs as it is. The bundled program lies beside. */
async function findAgent(): Promise<string> {
  const here = fileURLToPath(new URL("../demo", import.meta.url));
  for (const name of ["agent.mjs", "agent.mts"]) {
    const path = join(here, name);
    if ((await stat(path).catch(absent)) !== undefined) return path;
  }
  throw new AppError("INTERNAL", `the demo's agent is not in ${here}`);
}

/** A package and its dependencies, each found from where it is required, all side by side in one folder. */
async function placePackage(name: string, from: string, nodeModules: string, placed: Set<string>, count: { files: number }): Promise<void> {
  const source = await findPackage(name, from);
  if (placed.has(name)) return;
  placed.add(name);
  await placeFolder(source, join(nodeModules, name), count);
  const manifest: unknown = JSON.parse(await readFile(join(source, "package.json"), "utf8"));
  for (const dependency of dependenciesOf(manifest)) {
    await placePackage(dependency, join(source, "package.json"), nodeModules, placed, count);
  }
}

function dependenciesOf(manifest: unknown): readonly string[] {
  if (typeof manifest !== "object" || manifest === null || !("dependencies" in manifest)) return [];
  return typeof manifest.dependencies === "object" && manifest.dependencies !== null ? Object.keys(manifest.dependencies) : [];
}

async function findPackage(name: string, from: string): Promise<string> {
  // `exports` may hide package.json, so the folders are looked through as Node would
  for (const folder of createRequire(from).resolve.paths(name) ?? []) {
    const path = join(folder, name);
    if ((await stat(join(path, "package.json")).catch(absent)) !== undefined) return realpath(path);
  }
  throw new AppError("STATE_UNUSABLE", `the package ${name}, which the demo's agent uses, is not installed`, {
    hint: `npm install --include=optional, or npm install ${name}`,
  });
}

async function placeFolder(source: string, target: string, count: { files: number }): Promise<void> {
  await mkdir(target, { recursive: true, mode: 0o755 });
  await chmod(target, 0o755);
  for (const entry of await readdir(source, { withFileTypes: true })) {
    const from = join(source, entry.name);
    const to = join(target, entry.name);
    if (entry.isDirectory()) {
      if (!LEFT_OUT_FOLDERS.has(entry.name)) await placeFolder(from, to, count);
    } else if (entry.isFile() && !LEFT_OUT.test(entry.name)) {
      await placeFile(from, to, count);
    }
  }
}

async function placeFile(source: string, target: string, count: { files: number }): Promise<void> {
  count.files += 1;
  const { mode } = await lstat(source);
  const wanted = (mode & 0o111) === 0 ? 0o644 : 0o755;
  // a link shares the file's mode: only where that lets everybody read it
  if ((mode & 0o555) === (wanted & 0o555) && (await linked(source, target))) return;
  await copyFile(source, target, constants.COPYFILE_FICLONE);
  await chmod(target, wanted);
}

/** Another file system, a file of another owner (fs.protected_hardlinks) or a full link count: a copy does as well. */
async function linked(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target);
    return true;
  } catch (error) {
    if (["EXDEV", "EPERM", "EACCES", "EMLINK", "ENOTSUP", "EOPNOTSUPP"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

function absent(error: unknown): undefined {
  if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
  throw error;
}
