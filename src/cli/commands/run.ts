import { once } from "node:events";
import { openSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { pipeline } from "node:stream/promises";
import { ReadStream } from "node:tty";
import { ignore } from "../../base/background.ts";
import { systemClock } from "../../base/clock.ts";
import { parseDuration } from "../../base/units.ts";
import type { RunningSandboxExec, WorkspaceOutcome } from "../../app/facade.ts";
import { Interrupts } from "../interrupts.ts";
import { openLocalApp } from "../local-app.ts";
import { printable } from "../output.ts";
import { type PlaceFlags, placeOf } from "../place-options.ts";
import { earlyEnd } from "../early-end.ts";
import type { Cli } from "../cli.ts";
import { isInteractive, streamExec, terminalSize } from "../stream-exec.ts";

type RunFlags = PlaceFlags & {
  readonly timeout?: string;
  readonly workdir?: string;
  readonly keep?: boolean;
  readonly tty?: boolean;
  readonly json?: boolean;
};

/** `agentkernel run`: gateway and sandbox live in this process and end with it. */
export async function run(cli: Cli, command: readonly string[], flags: RunFlags): Promise<number> {
  // before everything that is to be given up in order, and until that was done
  using interrupts = new Interrupts((text) => cli.output.note(text));
  await using local = await openLocalApp(cli);
  const { app, caller } = local;
  const tty = flags.tty !== false && flags.json !== true && isInteractive();
  let exec: RunningSandboxExec;
  try {
    exec = await app.sandboxes.run(
      caller,
      {
        ...placeOf(flags, { cwd: process.cwd(), env: local.env }),
        command: [...command],
        ...(flags.workdir === undefined ? {} : { workdir: flags.workdir }),
        ...(flags.timeout === undefined ? {} : { timeout_ms: parseDuration(flags.timeout) }),
        ...(flags.keep === true ? { keep: true } : {}),
        ...(tty ? { tty: terminalSize() } : {}),
      },
      { signal: interrupts.signal, tell: (text) => cli.output.note(`agentkernel: ${printable(text)}`) },
    );
  } catch (error) {
    if (interrupts.exitCode === undefined) throw error;
    return interrupts.exitCode;
  }
  interrupts.running(exec);
  exec.exited.then(
    () => interrupts.finishing(),
    () => interrupts.finishing(),
  );
  try {
    return flags.json === true ? await runForJson(cli, exec) : await runForPeople(cli, exec, { tty, timeout: flags.timeout });
  } finally {
    // however its output came to grief: nothing of it stays
    await exec.finished.catch(() => undefined);
  }
}

async function runForPeople(
  cli: Cli,
  exec: RunningSandboxExec,
  { tty, timeout }: { readonly tty: boolean; readonly timeout: string | undefined },
): Promise<number> {
  const code = await streamExec(exec, { tty, forward: false });
  const said = earlyEnd((await exec.exited).reason, timeout);
  if (said !== undefined) cli.output.note(said);
  return await finish(cli, await exec.finished, code);
}

/** Says what the command changed in a copied workspace, asks where nobody decided, and turns a conflict into 125. */
async function finish(cli: Cli, outcome: WorkspaceOutcome, code: number): Promise<number> {
  const changed = outcome.created + outcome.modified + outcome.deleted;
  if (changed === 0 && outcome.conflict === undefined) return code;
  const summary = `${outcome.created} created, ${outcome.modified} modified, ${outcome.deleted} deleted`;
  if (outcome.sensitive.length > 0) {
    cli.output.note(`agentkernel: changed files that run on this machine later: ${outcome.sensitive.map(printable).join(", ")}`);
  }
  if (outcome.conflict !== undefined) {
    cli.output.note(`agentkernel: ${printable(outcome.conflict)} (${summary}); the copy is kept at ${outcome.keptAt}`);
    return 125;
  }
  if (outcome.applied) {
    cli.output.note(`agentkernel: workspace changes written back: ${summary}`);
    return code;
  }
  if (outcome.apply !== undefined && isInteractive()) {
    if (await isWanted(`agentkernel: write ${summary} back to the workspace? [y/N] `))
      return await finish(cli, await outcome.apply(), code);
  }
  cli.output.note(`agentkernel: not written back (${summary}); the copy is kept at ${outcome.keptAt} (use --apply to write it back)`);
  return code;
}

/** Asks on the terminal itself: our stdin was the command's, and went with it. */
async function isWanted(question: string): Promise<boolean> {
  const terminal = new ReadStream(openSync("/dev/tty", "r"));
  const ask = createInterface({ input: terminal, output: process.stderr });
  try {
    // an end of input, or Ctrl-C, is no
    const gone = once(ask, "close").then(() => "");
    const answer = await Promise.race([ask.question(question), gone]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    ask.close();
    terminal.destroy();
  }
}

/** What the API answers, from the same code. */
async function runForJson(cli: Cli, exec: RunningSandboxExec): Promise<number> {
  ignore(pipeline(process.stdin, exec.stdin), "the command may close its stdin, or end, before ours does");
  const { completeCommand } = await import("../../server/command.ts");
  const call = { clock: systemClock, signal: new AbortController().signal };
  const output = await completeCommand(call, () => Promise.resolve(exec), { stdin: null });
  process.stdin.destroy();
  cli.output.json(output);
  return output.workspace?.conflict === undefined ? output.exit_code : 125;
}
