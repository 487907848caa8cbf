import { AppError } from "../base/error.ts";
import type { SandboxRecord } from "./record.ts";

export function elsewhere({ name }: SandboxRecord): AppError {
  return new AppError("CONFLICT", `sandbox ${name} belongs to another agentkernel process`, {
    hint: "it ends with the agentkernel run, or the server, that made it",
  });
}

export function cancelled(signal: AbortSignal, cause: unknown): AppError {
  return signal.reason instanceof AppError ? signal.reason : new AppError("CONFLICT", "the start was cancelled", { cause });
}
