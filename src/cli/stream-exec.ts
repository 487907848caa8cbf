import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ignore } from "../base/background.ts";
import { AppError, errnoOf, messageOf } from "../base/error.ts";
import { exitCodeOf } from "../base/exit-code.ts";
import { startProcess } from "../base/process.ts";
import type { z } from "zod";
import type { execSignal } from "../schema/api.ts";
import { forwardSignals } from "./interrupts.ts";

type ExecSignal = z.infer<typeof execSignal>;
type ExitStatus = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** What both a local exec and one over the API are, as far as bytes go. */
export interface StreamedExec {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<ExitStatus & { readonly reason?: string }>;
  kill(signal: ExecSignal): void;
  resize(size: { readonly rows: number; readonly cols: number }): void;
}

/**
 * Connects this process's stdin, stdout, stderr, signals and terminal with a command, byte for byte, and gives the exit code:
 * the command's own, 128+n for a signal, 124 for a timeout. The terminal is restored on every way out.
 */
export async function streamExec(
  exec: StreamedExec,
  /** `forward: false`: the caller passes signals on itself */
  options: { readonly tty: boolean; readonly stdin?: boolean; readonly forward?: boolean },
): Promise<number> {
  const unforward = options.forward === false ? () => undefined : forwardSignals(exec);
  const restore = options.tty ? await rawTerminal(exec) : () => undefined;
  let broken: unknown;
  const onBroken = (error: unknown): void => {
    // nobody takes our output: the command goes too, as it would have without us
    broken ??= error;
    exec.kill("SIGKILL");
    exec.stdout.resume();
    exec.stderr.resume();
  };
  if (options.stdin !== false) ignore(pipeline(process.stdin, exec.stdin), "the command may close its stdin, or end, before ours does");
  try {
    const copied = Promise.all([
      pipeline(exec.stdout, process.stdout, { end: false }).catch(onBroken),
      pipeline(exec.stderr, process.stderr, { end: false }).catch(onBroken),
    ]);
    const [end] = await Promise.all([exec.exited, copied]);
    if (broken === undefined) return exitCodeOf(end);
    if (errnoOf(broken) === "EPIPE") return 128 + constants.signals.SIGPIPE;
    const code = errnoOf(broken) === "ENOSPC" ? "DISK_FULL" : "INTERNAL";
    throw new AppError(code, `the command's output cannot be written: ${messageOf(broken)}`, { cause: broken });
  } finally {
    unforward();
    restore();
    process.stdin.destroy();
  }
}

/** Size of this process's terminal, for a pty inside. */
export function terminalSize(): { readonly rows: number; readonly cols: number } {
  return { rows: process.stdout.rows || 24, cols: process.stdout.columns || 80 };
}

/** stdin and stdout are both a terminal. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

async function rawTerminal(exec: StreamedExec): Promise<() => void> {
  const onResize = (): void => exec.resize(terminalSize());
  const cook = (): void => void process.stdin.setRawMode(false);
  process.stdin.setRawMode(true);
  // libuv leaves output processing on, which turns the line feed that moves a cursor down into a new line
  const stty = startProcess({ argv: ["/bin/stty", "-opost"], env: {}, stdio: ["inherit", "ignore", "ignore"], sameGroup: true });
  await stty.ended;
  process.stdout.on("resize", onResize);
  process.once("exit", cook);
  return () => {
    process.stdout.off("resize", onResize);
    process.off("exit", cook);
    cook();
  };
}
