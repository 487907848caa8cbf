import { background, ignore } from "../base/background.ts";
import { AppError } from "../base/error.ts";
import type { RunningExec, RunningSandboxExec, WorkspaceOutcome } from "../app/facade.ts";
import type { RunOutput } from "../schema/api.ts";
import { failureOf } from "./envelope.ts";
import { exitCodeOf } from "../base/exit-code.ts";
import { chunkDecoder, chunksOf, collectOutput } from "./output.ts";
import type { RouteContext } from "./route.ts";
import { SseStream } from "./sse.ts";

/** Runs a command to its end and gives what it printed. `finished`, when it has one, is waited for. */
export async function completeCommand(
  call: Pick<RouteContext, "clock" | "signal">,
  start: () => Promise<RunningExec | RunningSandboxExec>,
  options: { readonly stdin: string | null | undefined; readonly capBytes?: number },
): Promise<RunOutput> {
  const startedAt = call.clock.monotonic();
  const exec = await start();
  feed(exec, options.stdin);
  if ("finished" in exec) ignore(exec.finished, "awaited below, unless the command itself failed first");
  const [printed, end] = await Promise.all([collectOutput(exec, options.capBytes), exec.exited]);
  const workspace = "finished" in exec ? workspaceOf(await exec.finished) : undefined;
  if (call.signal.aborted) throw new AppError("CONFLICT", "the caller left before the command ended");
  return {
    output: printed.output,
    exit_code: exitCodeOf(end),
    stdout: printed.stdout,
    stderr: printed.stderr,
    duration_ms: Math.round(call.clock.monotonic() - startedAt),
    ...(printed.truncated ? { truncated: true } : {}),
    ...(end.signal === null ? {} : { signal: end.signal }),
    ...(end.reason === undefined ? {} : { reason: end.reason }),
    ...(workspace === undefined ? {} : { workspace }),
  };
}

/**
 * The same as a stream: `started` at once, `progress` when the command runs, `output` as it comes, then `done` or `error`.
 * The command ends with the stream: `start` is given the signal for it.
 */
export function streamCommand(
  call: RouteContext,
  start: (signal: AbortSignal) => Promise<RunningExec | RunningSandboxExec>,
  options: { readonly stdin: string | undefined },
): Response {
  const stream = new SseStream();
  const signal = AbortSignal.any([call.signal, stream.closed]);
  const startedAt = call.clock.monotonic();
  const run = async (): Promise<void> => {
    await stream.send({ event: "started", data: { request_id: call.caller.requestId } });
    const exec = await start(signal);
    const sandbox = "sandbox" in exec ? { sandbox: exec.sandbox.name } : {};
    await stream.send({ event: "progress", data: { message: "the command is running", ...sandbox, exec_id: exec.id, pid: exec.pid } });
    feed(exec, options.stdin);
    if ("finished" in exec) ignore(exec.finished, "awaited below, unless the command itself failed first");
    const copy = async (name: "stdout" | "stderr"): Promise<void> => {
      const decode = chunkDecoder();
      const send = (data: string): Promise<void> | undefined =>
        data === "" ? undefined : stream.send({ event: "output", data: { data, stream: name } });
      for await (const chunk of chunksOf(exec[name])) await send(decode(chunk));
      await send(decode(null));
    };
    const [end] = await Promise.all([exec.exited, copy("stdout"), copy("stderr")]);
    const workspace = "finished" in exec ? workspaceOf(await exec.finished) : undefined;
    const code = exitCodeOf(end);
    await stream.send({
      event: "done",
      data: {
        exit_code: code,
        success: code === 0,
        duration_ms: Math.round(call.clock.monotonic() - startedAt),
        ...(end.signal === null ? {} : { signal: end.signal }),
        ...(end.reason === undefined ? {} : { reason: end.reason }),
        ...(workspace === undefined ? {} : { workspace }),
      },
    });
  };
  const settled = run()
    .catch(async (error: unknown) => {
      const { body } = failureOf(error, call.caller.requestId, call.log);
      const { success: _, error: message, ...rest } = body;
      await stream.send({ event: "error", data: { message, ...rest } });
    })
    .finally(() => stream.close());
  background("command stream", settled, call.log);
  return stream.response();
}

/** Gives the command its whole stdin and closes it. A command that does not read it is no fault. */
/** `null`: the caller writes it itself. */
function feed(exec: RunningExec, stdin: string | null | undefined): void {
  if (stdin === null) return;
  exec.stdin.on("error", () => undefined);
  exec.stdin.end(stdin ?? "");
}

function workspaceOf(outcome: WorkspaceOutcome): RunOutput["workspace"] {
  if (outcome.created + outcome.modified + outcome.deleted === 0 && outcome.keptAt === undefined) return undefined;
  return {
    applied: outcome.applied,
    ...(outcome.conflict === undefined ? {} : { conflict: outcome.conflict }),
    created: outcome.created,
    modified: outcome.modified,
    deleted: outcome.deleted,
    sensitive: [...outcome.sensitive],
    ...(outcome.keptAt === undefined ? {} : { kept_at: outcome.keptAt }),
  };
}
