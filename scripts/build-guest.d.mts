/** "absent": the program's source does not exist */
export type BuildOutcome = "built" | "current" | "absent";

/** Compiles the guest programs that are missing or changed. Throws with one line that names the remedy. */
export function buildGuest(options?: {
  readonly outDir?: string;
  readonly programs?: readonly ("init" | "launcher" | "net-helper")[];
}): Record<string, BuildOutcome>;
