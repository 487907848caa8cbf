import { createInterface } from "node:readline/promises";
import { pipeline } from "node:stream/promises";
import { ignore } from "../../base/background.ts";
import { systemClock } from "../../base/clock.ts";
import { parseDuration } from "../../base/units.ts";
import type { RunningSandboxExec, WorkspaceOutcome } from "../../app/facade.ts";
import { openLocalApp } from "../local-app.ts";
import { printable } from "../output.ts";
import { type PlaceFlags, placeOf } from "../place-options.ts";
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
  await using local = await openLocalApp(cli);
  const { app, caller } = local;
  const tty = flags.tty !== false && flags.json !== true && isInteractive();
  const cancel = new AbortController();
  const onSignal = (): void => cancel.abort();
  // until the command runs and gets signals itself, they end the start
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
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
      { signal: cancel.signal },
    );
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
  if (flags.json === true) return await runForJson(cli, exec);
  const code = await streamExec(exec, { tty });
  const end = await exec.exited;
  if (end.reason === "memory") cli.output.note("agentkernel: the sandbox was ended because it exceeded its memory limit");
  if (end.reason === "timeout") cli.output.note(`agentkernel: the command was ended after ${flags.timeout}`);
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
    const ask = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await ask.question(`agentkernel: write ${summary} back to the workspace? [y/N] `);
    ask.close();
    if (/^y(es)?$/i.test(answer.trim())) return await finish(cli, await outcome.apply(), code);
  }
  cli.output.note(`agentkernel: not written back (${summary}); the copy is kept at ${outcome.keptAt} (use --apply to write it back)`);
  return code;
}

/** What the API answers, from the same code. */
async function runForJson(cli: Cli, exec: RunningSandboxExec): Promise<number> {
  ignore(pipeline(process.stdin, exec.stdin), "the command may close its stdin, or end, before ours does");
  const { completeCommand } = await import("../../server/command.ts");
  const call = { clock: systemClock, signal: new AbortController().signal };
  const output = await completeCommand(call, () => Promise.resolve(exec), { stdin: null });
  process.stdin.destroy();
  cli.output.json(output);
  return output.exit_code;
}
