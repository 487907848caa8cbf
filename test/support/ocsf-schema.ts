import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Requirement } from "./requires.ts";

/** The official schema data and its checker stand beside the project, not in it. */
export const OCSF_FOLDER = join(import.meta.dirname, "../../../shared/ocsf");

export function requiresOcsf(): Requirement {
  if (existsSync(join(OCSF_FOLDER, "check.mjs"))) return { skip: false, meta: {} };
  if ((process.env["AGENTKERNEL_REQUIRE"] ?? "").split(",").includes("ocsf"))
    throw new Error("AGENTKERNEL_REQUIRE asks for ocsf, but ../shared/ocsf is not there");
  return { skip: true, meta: { skipReason: "needs ocsf: the schema data is not beside the project (../shared/ocsf)" } };
}

export type Verdict = {
  readonly isOk: boolean;
  readonly problems: readonly { readonly level: "error" | "warning"; readonly text: string }[];
};

/** What the official checker says of each event, in order. `directory` is made and filled. */
export async function officialVerdicts(version: string, events: readonly unknown[], directory: string): Promise<readonly Verdict[]> {
  await mkdir(directory, { recursive: true });
  const names = events.map((_, index) => `${index}.json`);
  await Promise.all(events.map((event, index) => writeFile(join(directory, `${index}.json`), JSON.stringify(event))));
  const args = [join(OCSF_FOLDER, "check.mjs"), join(OCSF_FOLDER, `ocsf-${version}.json`), ...names];
  const path = join(directory, "verdicts.txt");
  // into a file: the checker ends by process.exit, which drops lines that a slow reader of a pipe has not taken yet
  await using output = await open(path, "w");
  const child = spawn(process.execPath, args, { cwd: directory, stdio: ["ignore", output.fd, output.fd], timeout: 60_000 });
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
  const stdout = await readFile(path, "utf8");
  // 1: some event is not valid, which its lines say
  if (code !== 0 && code !== 1) throw new Error(`the checker ended with ${code ?? signal}: ${stdout.slice(-500)}`);
  const verdicts: { isOk: boolean; problems: Verdict["problems"][number][] }[] = [];
  for (const line of stdout.split("\n")) {
    const head = /^(ok {2}|FAIL) \d+\.json$/.exec(line);
    if (head !== null) verdicts.push({ isOk: head[1] !== "FAIL", problems: [] });
    const problem = /^ {3}(error|warning) +(.*)$/.exec(line);
    if (problem !== null) verdicts.at(-1)?.problems.push({ level: problem[1] as "error" | "warning", text: problem[2] ?? "" });
  }
  if (verdicts.length !== events.length) throw new Error(`${events.length} events, ${verdicts.length} verdicts: ${stdout.slice(-500)}`);
  return verdicts;
}
