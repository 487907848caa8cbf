import type { Figure } from "./figures.ts";

/** What every section gets. */
export type Bench = {
  /** a smoke run: few samples, the same paths */
  readonly isQuick: boolean;
  /** a folder of the run's own, which sandbox uids may pass through */
  readonly dir: string;
  /** `full` in a full run, `quick` in a quick one */
  choose<T>(full: T, quick: T): T;
  /** one line about what is going on */
  say(line: string): void;
};

export type Section = { readonly name: string; run(bench: Bench): Promise<readonly Figure[]> };
