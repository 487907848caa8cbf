/** What is wrong with a configuration although every value has the right form. */
export type ConfigProblem = {
  readonly level: "error" | "warning";
  readonly key: string;
  /** one sentence; never a secret's value */
  readonly message: string;
  readonly hint?: string;
};
