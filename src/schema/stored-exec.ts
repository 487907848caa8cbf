/** A command that runs on after its caller has gone. */
export type StoredExec = {
  readonly id: string;
  readonly sandboxUuid: string;
  readonly command: readonly string[];
  /** inside the sandbox */
  readonly pid: number;
  readonly status: "running" | "completed" | "failed";
  readonly exitCode: number | null;
  /** ms since 1970 */
  readonly startedAt: number;
};
