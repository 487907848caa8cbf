import { getSystemErrorName } from "node:util";
import { AppError } from "../../base/error.ts";
import { FrameError } from "./frame.ts";

/** Steps at which init can fail, as in guest/init.h. */
export const STAGE = {
  resources: 1,
  fork: 2,
  terminal: 3,
  directory: 4,
  lookup: 5,
  execute: 6,
  interpreter: 7,
  connect: 8,
} as const;

export type Failure = { readonly stage: number /** `ENOENT` and the like */; readonly errno: string };

/** @throws FrameError when it is not a failure of init's */
export function parseFailure(payload: Buffer): Failure {
  if (payload.length !== 5) throw new FrameError("a FAILED that says nothing");
  const errno = payload.readUInt32BE(1);
  return { stage: payload[0] ?? 0, errno: errno >= 1 && errno <= 4095 ? getSystemErrorName(-errno) : `errno ${errno}` };
}

/** Why a command did not start. */
export function execFailure(failure: Failure, request: { readonly argv: readonly string[]; readonly cwd: string }): AppError {
  const { stage, errno } = failure;
  const command = request.argv[0] ?? "";
  const details = { command, errno };
  switch (stage) {
    case STAGE.lookup:
      return new AppError("EXEC_NOT_FOUND", `${command}: command not found`, { details });
    case STAGE.interpreter:
      return new AppError("EXEC_NOT_EXECUTABLE", `${command}: its interpreter or loader is not in the sandbox`, {
        details,
        hint: "look at the first line of a script, or whether the program was built for this system",
      });
    case STAGE.execute:
      return new AppError("EXEC_NOT_EXECUTABLE", `${command}: ${reason(errno)}`, { details });
    case STAGE.directory:
      return new AppError("EXEC_NOT_EXECUTABLE", `working directory ${request.cwd}: ${reason(errno)}`, {
        details: { ...details, cwd: request.cwd },
      });
    case STAGE.fork:
      return new AppError("LIMIT_EXCEEDED", `${command}: the sandbox's limit on processes is reached`, { details });
    case STAGE.resources:
      return new AppError("LIMIT_EXCEEDED", `${command}: the sandbox's limit on open files or running commands is reached`, { details });
    case STAGE.terminal:
      return new AppError("INTERNAL", `${command}: no terminal in the sandbox (${errno})`, { details });
    default:
      return new AppError("INTERNAL", `${command}: init failed at step ${stage} (${errno})`, { details });
  }
}

/** Why a port inside could not be reached. */
export function dialFailure(failure: Failure, port: number): AppError {
  const details = { port, errno: failure.errno };
  if (failure.stage === STAGE.resources)
    return new AppError("LIMIT_EXCEEDED", "the sandbox's limit on connections is reached", { details });
  const why = failure.errno === "ECONNREFUSED" ? "nothing listens there" : failure.errno;
  return new AppError("UPSTREAM_ERROR", `port ${port} of the sandbox cannot be reached: ${why}`, { details });
}

function reason(errno: string): string {
  switch (errno) {
    case "EACCES":
      return "permission denied";
    case "ENOENT":
      return "no such file or directory";
    case "ENOTDIR":
      return "not a directory";
    case "ENOEXEC":
      return "not a program this system can execute (a script needs a #! line)";
    case "E2BIG":
      return "command and environment are too long";
    default:
      return errno;
  }
}
