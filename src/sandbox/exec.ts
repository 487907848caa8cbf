import type { Readable, Writable } from "node:stream";
import { ignore } from "../base/background.ts";
import { AppError, messageOf } from "../base/error.ts";
import { newId } from "../base/id.ts";
import { startTimer } from "../base/long-timer.ts";
import type { NewEvent } from "../schema/event.ts";
import type { BackendExec, EndReason, ExecRequest, ExecSignal, ExitStatus } from "./backend.ts";

/** How a command ended; `reason` when we ended it (`timeout`, `memory`, `stopped` …). */
export type ExecEnd = ExitStatus & { readonly reason?: string };

/** A running command, recorded from launch to exit. */
export interface SandboxExec {
  readonly id: string;
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** settles when its end is recorded */
  readonly exited: Promise<ExecEnd>;
  /** settles when it has ended, while that is still being recorded; never rejects */
  readonly over: Promise<void>;
  kill(signal: ExecSignal): void;
  resize(size: { readonly rows: number; readonly cols: number }): void;
}

export type ExecContext = {
  /** fields that every event of this sandbox carries */
  readonly subject: Pick<Extract<NewEvent, { type: "sandbox.exec" }>, "actor" | "sandbox" | "sandbox_uuid" | "labels" | "request_id">;
  readonly report: (event: NewEvent) => Promise<unknown>;
  readonly launch: (request: ExecRequest, options: { readonly signal: AbortSignal }) => Promise<BackendExec>;
  /** settles when the sandbox ends */
  readonly ended: Promise<EndReason>;
  readonly now: () => number;
};

/** ms between SIGTERM and SIGKILL for a command that exceeded its time */
const GRACE_MS = 2_000;

/** A command whose launch is being recorded. */
export type AnnouncedExec = {
  readonly about: Omit<Extract<NewEvent, { type: "sandbox.exec" }>, "operation" | "outcome">;
  readonly startedAt: number;
  readonly recorded: Promise<unknown>;
};

/** Records that a command is about to be launched; it may be so while its sandbox is still being made. */
export function announceExec(
  context: Pick<ExecContext, "subject" | "report" | "now">,
  request: Pick<ExecRequest, "argv" | "cwd" | "tty">,
): AnnouncedExec {
  const startedAt = context.now();
  const about = {
    ...context.subject,
    type: "sandbox.exec" as const,
    exec_id: newId("exe"),
    command: [...request.argv],
    cwd: request.cwd,
    tty: request.tty !== undefined,
  };
  const recorded = context.report({ ...about, operation: "launch", outcome: "permit" });
  ignore(recorded, "awaited before the command starts, but its failure may come before that");
  return { about, startedAt, recorded };
}

/** Records that an announced command did not start. */
export async function withdrawExec(
  context: Pick<ExecContext, "report" | "now">,
  { about, startedAt }: AnnouncedExec,
  error: unknown,
): Promise<void> {
  await context.report({
    ...about,
    operation: "exit",
    outcome: "error",
    reason: messageOf(error),
    ...(error instanceof AppError ? { error_code: error.code } : {}),
    duration_ms: context.now() - startedAt,
  });
}

/** Launches a command and records it. The launch event is on disk before the command starts. */
export async function launchExec(
  context: ExecContext,
  request: ExecRequest,
  options: { readonly signal: AbortSignal; readonly timeoutMs?: number; readonly announced?: AnnouncedExec | undefined },
): Promise<SandboxExec> {
  const announced = options.announced ?? announceExec(context, request);
  const { about, startedAt } = announced;
  await announced.recorded;
  let exec: BackendExec;
  try {
    exec = await context.launch(request, { signal: options.signal });
  } catch (error) {
    await withdrawExec(context, announced, error);
    throw error;
  }

  let reason: string | undefined;
  const stopTimer = options.timeoutMs === undefined ? undefined : timeOut(exec, options.timeoutMs, () => (reason ??= "timeout"));
  const onAbort = (): void => {
    reason ??= "cancelled";
    exec.kill("SIGKILL");
  };
  if (options.signal.aborted) onAbort();
  else options.signal.addEventListener("abort", onAbort, { once: true });

  const over = Promise.withResolvers<void>();
  const exited = (async (): Promise<ExecEnd> => {
    let end: ExecEnd;
    try {
      end = await exec.exited;
    } catch (error) {
      // the sandbox ended under the command: its own reason says more than a broken channel does
      const why = await context.ended;
      reason ??= why.kind;
      end = { code: null, signal: "SIGKILL" };
      if (!(error instanceof AppError)) throw error;
    } finally {
      stopTimer?.();
      options.signal.removeEventListener("abort", onAbort);
      over.resolve();
    }
    await context.report({
      ...about,
      operation: "exit",
      outcome: "info",
      exit_code: end.code,
      ...(end.signal === null ? {} : { signal: end.signal }),
      ...(reason === undefined ? {} : { reason }),
      duration_ms: context.now() - startedAt,
    });
    return reason === undefined ? end : { ...end, reason };
  })();
  return {
    id: about.exec_id,
    pid: exec.pid,
    stdin: exec.stdin,
    stdout: exec.stdout,
    stderr: exec.stderr,
    exited,
    over: over.promise,
    kill: (signal) => exec.kill(signal),
    resize: (size) => exec.resize(size),
  };
}

function timeOut(exec: BackendExec, ms: number, onTimeout: () => void): () => void {
  let grace: NodeJS.Timeout | undefined;
  const stop = startTimer(ms, () => {
    onTimeout();
    exec.kill("SIGTERM");
    grace = setTimeout(() => exec.kill("SIGKILL"), GRACE_MS);
  });
  return () => {
    stop();
    clearTimeout(grace);
  };
}
