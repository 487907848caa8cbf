import { AppError, messageOf, firstFault } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { Failure } from "../schema/api.ts";

/** An answer that can be kept and given again. */
export type JsonAnswer = { readonly status: number; readonly text: string };

export function success(data: unknown, options: { readonly status: number; readonly nextCursor?: string | undefined }): JsonAnswer {
  const body = { success: true, data: data ?? null, ...(options.nextCursor === undefined ? {} : { next_cursor: options.nextCursor }) };
  return { status: options.status, text: JSON.stringify(body) };
}

/** What a caller is told of a fault: an `AppError` as it is, anything else without its inside, which goes to the log. */
export function failureOf(thrown: unknown, requestId: string, log: Log): { readonly status: number; readonly body: Failure } {
  const error = firstFault(thrown);
  const known = error instanceof AppError ? error : internal(error, requestId, log);
  return {
    status: known.status,
    body: {
      success: false,
      error: messageOf(known instanceof AppError && known.cause !== undefined && known.code === "INTERNAL" ? known.message : known),
      code: known.code,
      ...(known.hint === undefined ? {} : { hint: known.hint }),
      request_id: requestId,
    },
  };
}

function internal(error: unknown, requestId: string, log: Log): AppError {
  log.error("a request failed with a fault of ours", {
    request_id: requestId,
    error: messageOf(error),
    stack: error instanceof Error ? error.stack : undefined,
  });
  return new AppError("INTERNAL", "a fault in agentkernel", { hint: `the log says more under request ${requestId}` });
}
