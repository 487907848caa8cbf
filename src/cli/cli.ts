import type { Output } from "./output.ts";

/** What every command gets. */
export type Cli = {
  readonly output: Output;
  /** `--config FILE`, when given */
  readonly configFile: string | undefined;
};
