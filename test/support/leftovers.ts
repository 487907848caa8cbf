import { readdirSync, readFileSync } from "node:fs";
import { waitFor } from "./wait-for.ts";

/** Processes below `pid`, zombies left out: what a test started and has not ended. */
export function descendants(pid: number = process.pid): readonly { readonly pid: number; readonly command: string }[] {
  const children = new Map<number, { pid: number; command: string }[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const entry = processEntry(Number(name));
    if (entry === undefined) continue;
    const siblings = children.get(entry.parent) ?? [];
    siblings.push({ pid: entry.pid, command: entry.command });
    children.set(entry.parent, siblings);
  }
  const found: { pid: number; command: string }[] = [];
  const queue = [pid];
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    for (const child of children.get(at) ?? []) {
      found.push(child);
      queue.push(child.pid);
    }
  }
  return found;
}

function processEntry(pid: number): { pid: number; parent: number; command: string } | undefined {
  try {
    // pid (name) state parent …; the name may hold anything, also ")"
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim();
    return { pid, parent: Number(parent), command };
  } catch {
    // it ended while we looked
    return undefined;
  }
}

/** For `afterAll`: waits shortly for every child to be gone, then fails with their command lines. */
export async function expectNoChildren(except: RegExp = /(?!)/): Promise<void> {
  const left = (): readonly string[] =>
    descendants()
      .map((child) => child.command)
      .filter((command) => !except.test(command));
  await waitFor(() => left().length === 0, { timeoutMs: 20_000, what: `children to end: ${left().join("; ")}` });
}
