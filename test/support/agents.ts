import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** Agents as their makers publish them. Not among the project's dependencies: 740 MB that only these tests use. */
const AGENTS = {
  "@anthropic-ai/claude-code": "2.1.197",
  "@google/gemini-cli": "0.61.0",
  "@openai/codex": "0.169.0",
} as const;

/**
 * The folder with the agents' `node_modules` and a `node` for those that need one; installed once and kept. Root keeps it where every
 * uid can read it, since sandboxes have uids of their own.
 */
export async function installAgents(): Promise<string> {
  const key = createHash("sha256").update(JSON.stringify(AGENTS)).update(process.version).digest("hex").slice(0, 12);
  const cache = process.getuid?.() === 0 ? "/var/cache/agentkernel-test" : join(homedir(), ".cache", "agentkernel-test");
  const folder = join(cache, `agents-${key}`);
  if (await exists(folder)) return folder;
  await mkdir(cache, { recursive: true, mode: 0o755 });
  const fresh = `${folder}.${process.pid}`;
  try {
    await mkdir(fresh, { mode: 0o755 });
    await writeFile(join(fresh, "package.json"), JSON.stringify({ private: true, dependencies: AGENTS }));
    // their install scripts are not needed, so they do not run
    await npm(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", fresh], fresh);
    await copyFile(process.execPath, join(fresh, "node"));
    await chmod(join(fresh, "node"), 0o755);
    // whoever comes second finds the folder there and keeps it
    await rename(fresh, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return folder;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function npm(args: readonly string[], cwd: string): Promise<void> {
  const child = spawn("npm", args, { cwd, stdio: ["ignore", "ignore", "pipe"], timeout: 300_000, killSignal: "SIGKILL" });
  const said: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk));
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject);
  child.once("close", resolve);
  const code = await promise;
  if (code !== 0) throw new Error(`npm ${args.join(" ")} exited with ${code}: ${Buffer.concat(said).toString().trim()}`);
}
