import { AppError, messageOf } from "../../base/error.ts";
import { type BatchRunResult, batchRunRequest, batchRunResult, runOutput, runRequest } from "../../schema/api.ts";
import { completeCommand, streamCommand } from "../command.ts";
import { OUTPUT_CAP_BYTES } from "../output.ts";
import { type Route, route } from "../route.ts";

/** commands of one batch that run at a time */
const BATCH_PARALLEL = 8;
/** bytes that all outputs of one batch may take together */
const BATCH_OUTPUT_BYTES = 64 * 1024 * 1024;

const RUN_ERRORS = [
  "POLICY_DENIED",
  "LIMIT_EXCEEDED",
  "BACKEND_UNAVAILABLE",
  "SANDBOX_START_FAILED",
  "UNSUPPORTED",
  "EXEC_NOT_FOUND",
  "EXEC_NOT_EXECUTABLE",
] as const;

export const runRoutes: readonly Route[] = [
  route(
    {
      method: "post",
      path: "/run",
      tag: "Run",
      summary: "Run one command in a fresh sandbox",
      description:
        "A non-zero exit code is data, not an error. The sandbox is removed when the command has ended or the client has gone. `fast` is taken for clients that send it, and changes nothing: every sandbox starts alike.",
      answer: { kind: "json", schema: runOutput },
      errors: RUN_ERRORS,
    },
    { body: runRequest },
    (call) => {
      const { stdin, ...request } = call.body;
      return completeCommand(call, () => call.app.sandboxes.run(call.caller, request, { signal: call.signal }), { stdin });
    },
  ),
  route(
    {
      method: "post",
      path: "/run/stream",
      tag: "Run",
      summary: "Run one command in a fresh sandbox and stream its output",
      answer: {
        kind: "stream",
        events:
          "`started {request_id}`, `progress {message, sandbox, exec_id, pid}`, `output {data, stream}`, then `done {exit_code, success, duration_ms}` or `error {message, code, hint?, request_id}`",
      },
    },
    { body: runRequest },
    (call) => {
      const { stdin, ...request } = call.body;
      return Promise.resolve(streamCommand(call, (signal) => call.app.sandboxes.run(call.caller, request, { signal }), { stdin }));
    },
  ),
  route(
    {
      method: "post",
      path: "/batch/run",
      tag: "Run",
      summary: "Run several commands, each in a fresh sandbox of its own",
      description: `At most ${BATCH_PARALLEL} at a time; results stand in the order of the commands.`,
      answer: { kind: "json", schema: batchRunResult },
    },
    { body: batchRunRequest },
    async (call): Promise<BatchRunResult> => {
      const { commands } = call.body;
      const capBytes = Math.min(OUTPUT_CAP_BYTES, Math.floor(BATCH_OUTPUT_BYTES / Math.max(1, commands.length) / 2));
      const results: BatchRunResult["results"] = [];
      let next = 0;
      const work = async (): Promise<void> => {
        for (let i = next++; i < commands.length && !call.signal.aborted; i = next++) {
          const command = commands[i]?.command ?? [];
          results[i] = await runOne(() =>
            completeCommand(call, () => call.app.sandboxes.run(call.caller, { command }, { signal: call.signal }), {
              stdin: undefined,
              capBytes,
            }),
          );
        }
      };
      await Promise.all(Array.from({ length: Math.min(BATCH_PARALLEL, commands.length) }, work));
      return { results };
    },
  ),
];

async function runOne(run: () => ReturnType<typeof completeCommand>): Promise<BatchRunResult["results"][number]> {
  try {
    const { output, exit_code, reason, truncated } = await run();
    const why = reason === undefined ? "" : ` (${reason})`;
    const cut = truncated === true ? "; its output was cut" : "";
    return { output, error: exit_code === 0 && cut === "" ? null : `the command exited with ${exit_code}${why}${cut}`, exit_code };
  } catch (error) {
    // a refusal of one command is that command's result; a fault of ours fails the batch
    if (!(error instanceof AppError) || error.code === "INTERNAL") throw error;
    return { output: null, error: messageOf(error), exit_code: null };
  }
}
