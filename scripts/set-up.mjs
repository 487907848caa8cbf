/** What the steps of the set-up have in common. Plain JavaScript that Node 20 can run. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const isRoot = process.getuid?.() === 0;

/** The set-up cannot go on; the message is one line. */
export class Unable extends Error {}

export function say(line) {
  process.stderr.write(`agentkernel set-up: ${line}\n`);
}

export function isFile(path) {
  return fs.statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

export function read(path) {
  try {
    return fs.readFileSync(path, "utf8");
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Runs a command with its output shown only when it fails. */
export function runQuietly(what, command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 << 20,
    ...options,
  });
  if (result.error === undefined && result.status === 0) return;
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}`.trim();
  // npm explains all its options after an error; what went wrong stands at the beginning, what a compiler means at the end
  const lines = output.split("\n");
  const shown = lines.length > 40 ? [...lines.slice(0, 20), `… ${lines.length - 40} more lines …`, ...lines.slice(-20)] : lines;
  if (output) process.stderr.write(`${shown.join("\n")}\n`);
  const reason = result.error?.message ?? (result.signal ? `ended by ${result.signal}` : `exited with ${result.status}`);
  throw new Unable(`${what} failed: ${command} ${args.slice(0, 3).join(" ")} … ${reason}`);
}
