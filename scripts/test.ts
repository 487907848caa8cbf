/**
 * `npm test`: the gates (types, lint, format, unused code), then the whole test suite, then one closing line for all of it:
 * `N passed, N failed, N skipped`. It is printed whatever happens: a failed gate, a crash of the test runner, a signal, a hang.
 *
 *     npm test                     everything
 *     npm test -- test/fuzz        the test files that match, without the gates
 *     npm test -- --gates          the gates alone
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { closingText, RECORD_FILE, tally, type RecordLine } from "../test/support/closing-line-reporter.ts";

const root = dirname(import.meta.dirname);
const bin = (name: string): string => join(root, "node_modules", ".bin", name);

const GATES = [
  { name: "types", command: [bin("tsc"), "--noEmit", "-p", root] },
  { name: "lint", command: [bin("oxlint"), "--deny-warnings"] },
  { name: "format", command: [bin("biome"), "format", "."] },
  { name: "unused code", command: [bin("knip"), "--no-progress"] },
] as const;

/** everything together, set-up apart; past it the run is ended and counted as failed */
const DEADLINE_MS = 45 * 60_000;
/** from the last test's result to the end of the runner's process */
const END_GRACE_MS = 30_000;

const lines: RecordLine[] = [];
const children = new Set<ChildProcess>();
const recordDir = mkdtempSync(join(tmpdir(), "agentkernel-record-"));
const recordFile = join(recordDir, "record.jsonl");

let closed = false;
function close(): void {
  if (closed) return;
  closed = true;
  for (const child of children) killGroup(child, "SIGKILL");
  const all = [...lines, ...readRecord()];
  if (tally(all).passed + tally(all).failed === 0) all.push({ kind: "error", name: "test run", message: "no test ran" });
  rmSync(recordDir, { recursive: true, force: true });
  process.exitCode = tally(all).failed > 0 ? 1 : 0;
  process.stdout.write(`\n${closingText(all)}\n`);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    lines.push({ kind: "error", name: "test run", message: `ended by ${signal}` });
    close();
    process.exit(128 + constants.signals[signal]);
  });
}
process.once("uncaughtException", (error) => {
  lines.push({ kind: "error", name: "test run", message: error.message });
  close();
  process.exit(1);
});

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

function readRecord(): RecordLine[] {
  let text: string;
  try {
    text = readFileSync(recordFile, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
  // a line that a kill cut in half is no result
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as RecordLine);
}

/** Each child leads a group of its own, so that what it leaves behind can be ended with it. */
function start(command: readonly string[], env: NodeJS.ProcessEnv, stdio: "inherit" | "pipe"): ChildProcess {
  const [program, ...args] = command;
  if (program === undefined) throw new Error("an empty command");
  const child = spawn(program, args, { cwd: root, env, detached: true, stdio: ["ignore", stdio, stdio] });
  children.add(child);
  child.once("close", () => children.delete(child));
  return child;
}

async function ended(child: ChildProcess): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  child.once("error", (error) => resolve(error.message));
  // 'exit' and not 'close': a leaked grandchild that holds the output open must not hold up the run
  child.once("exit", (code, signal) => resolve(code === 0 ? undefined : `exited with ${code ?? signal}`));
  return promise;
}

async function runGate(gate: (typeof GATES)[number], env: NodeJS.ProcessEnv): Promise<void> {
  const startedAt = performance.now();
  const child = start(gate.command, env, "pipe");
  const output: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => output.push(chunk));
  const failure = await Promise.race([ended(child), delay(5 * 60_000, "it took more than 5 minutes", { ref: false })]);
  killGroup(child, "SIGKILL");
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  if (failure !== undefined) process.stdout.write(Buffer.concat(output));
  process.stdout.write(`gate ${gate.name}: ${failure === undefined ? "ok" : `FAILED (${failure})`}, ${seconds} s\n`);
  lines.push({ kind: "test", state: failure === undefined ? "passed" : "failed", name: `gate ${gate.name}` });
}

async function runSuite(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const child = start([bin("vitest"), "run", ...args], { ...env, [RECORD_FILE]: recordFile }, "inherit");
  const failure = ended(child);
  const stuck = (async (): Promise<string> => {
    const deadline = performance.now() + DEADLINE_MS;
    while (performance.now() < deadline) {
      await delay(1000, undefined, { ref: false });
      if (!readRecord().some((line) => line.kind === "end")) continue;
      await delay(END_GRACE_MS, undefined, { ref: false });
      return "all tests ended, but the runner did not: something was left open";
    }
    return `it took more than ${DEADLINE_MS / 60_000} minutes`;
  })();
  const message = await Promise.race([failure, stuck]);
  killGroup(child, "SIGKILL");
  const record = readRecord();
  const explained = record.some((line) => line.kind === "error" || (line.kind === "test" && line.state === "failed"));
  if (message !== undefined && !explained) lines.push({ kind: "error", name: "test runner", message });
  else if (!record.some((line) => line.kind === "end"))
    lines.push({ kind: "error", name: "test runner", message: message ?? "no end was recorded" });
}

const args = process.argv.slice(2);
const gatesOnly = args.includes("--gates");
const filters = args.filter((argument) => argument !== "--gates");
const env = { ...process.env, PATH: [dirname(process.execPath), process.env["PATH"] ?? "/usr/bin:/bin"].join(delimiter) };

if (gatesOnly || filters.length === 0) for (const gate of GATES) await runGate(gate, env);
if (!gatesOnly) await runSuite(filters, env);
close();
