import { inspect } from "node:util";

/**
 * The one table of faults. HTTP status, exit code, metric label, OpenAPI and `docs/reference/errors.md` all come from it.
 *
 * `status`: HTTP status of the API answer. `exit`: exit code of the CLI. `retry`: whether the same call may succeed later.
 */
export const ERRORS = {
  CONFIG_INVALID: { status: 400, exit: 125, retry: false, title: "The configuration is not valid" },
  VALIDATION: { status: 400, exit: 125, retry: false, title: "The input is not valid" },
  UNAUTHENTICATED: { status: 401, exit: 125, retry: false, title: "The caller is not authenticated" },
  FORBIDDEN: { status: 403, exit: 125, retry: false, title: "The caller may not do this" },
  POLICY_DENIED: { status: 403, exit: 125, retry: false, title: "Policy denies this" },
  NOT_FOUND: { status: 404, exit: 125, retry: false, title: "There is no such thing" },
  CONFLICT: { status: 409, exit: 125, retry: false, title: "The state of the thing does not permit this" },
  TOO_LARGE: { status: 413, exit: 125, retry: false, title: "The input is too large" },
  LIMIT_EXCEEDED: { status: 429, exit: 125, retry: true, title: "A limit is reached" },
  INTERNAL: { status: 500, exit: 125, retry: false, title: "A fault in agentkernel" },
  NOT_IMPLEMENTED: { status: 501, exit: 125, retry: false, title: "Not available in this version" },
  UPSTREAM_ERROR: { status: 502, exit: 125, retry: true, title: "The other side failed" },
  BACKEND_UNAVAILABLE: { status: 503, exit: 125, retry: false, title: "The backend cannot run here" },
  UNSUPPORTED: { status: 400, exit: 125, retry: false, title: "The backend cannot enforce what was asked for" },
  SANDBOX_START_FAILED: { status: 503, exit: 125, retry: true, title: "The sandbox did not start" },
  SANDBOX_ENDED: { status: 409, exit: 125, retry: false, title: "The sandbox has ended" },
  EXEC_NOT_FOUND: { status: 400, exit: 127, retry: false, title: "The command was not found in the sandbox" },
  EXEC_NOT_EXECUTABLE: { status: 400, exit: 126, retry: false, title: "The command cannot be executed in the sandbox" },
  TIMEOUT: { status: 504, exit: 124, retry: true, title: "It took longer than permitted" },
  STATE_LOCKED: { status: 409, exit: 125, retry: true, title: "Another process holds this" },
  STATE_NEWER: { status: 500, exit: 125, retry: false, title: "The state was written by a newer version" },
  STATE_UNUSABLE: { status: 500, exit: 125, retry: false, title: "The state directory cannot be used" },
  AUDIT_UNAVAILABLE: { status: 503, exit: 125, retry: true, title: "The audit log cannot be written" },
  DISK_FULL: { status: 507, exit: 125, retry: true, title: "The disk is full" },
  PORT_IN_USE: { status: 500, exit: 125, retry: true, title: "The port is in use" },
  SERVER_UNREACHABLE: { status: 503, exit: 125, retry: true, title: "The server cannot be reached" },
} as const;

export type ErrorCode = keyof typeof ERRORS;

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERRORS, text);
}

export type AppErrorOptions = {
  readonly cause?: unknown;
  /** one line that says what to do about it */
  readonly hint?: string;
  /** machine-readable facts; never secrets */
  readonly details?: Readonly<Record<string, unknown>>;
};

/** A fault with a stable code from {@link ERRORS}. A denial is a value (`Decision`), never an `AppError` inside the gateway. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get exit(): number {
    return ERRORS[this.code].exit;
  }
}

/**
 * What went wrong first: `await using` wraps it when the clearing up that it brought about failed as well (ECMA-262,
 * DisposeResources), and says only that.
 */
export function firstFault(error: unknown): unknown {
  let at = error;
  while (at instanceof SuppressedError) at = at.suppressed as unknown;
  return at;
}

/** The message of anything that was thrown, in one line, cause chain included. */
export function messageOf(error: unknown): string {
  const seen = new Set<unknown>();
  const parts: string[] = [];
  let at = firstFault(error);
  while (at !== undefined && at !== null && !seen.has(at)) {
    seen.add(at);
    const text =
      at instanceof Error ? at.message || at.name : typeof at === "string" ? at : inspect(at, { depth: 1, breakLength: Infinity });
    // a message that names the system's code says what the system's own would only repeat
    const said = errnoOf(at) ?? text;
    if (!parts.some((part) => part.includes(text) || part.includes(said))) parts.push(text);
    at = at instanceof Error ? firstFault(at.cause) : undefined;
  }
  return parts.join(": ").replace(/\s*\n\s*/g, " ");
}

/** Whether an error of the file system says that there is no room. */
export function isDiskFull(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOSPC" || errno === "EDQUOT";
}

/** The system's error code (`ENOENT`, `EADDRINUSE`) of a thrown value, when it has one. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
