/** Keys whose effect is seen in a test: it would fail if they were read and did nothing. */
export type Seen = {
  /** below `test/` */
  readonly file: string;
  /** of the test, or a part of it */
  readonly title: string;
  readonly keys: readonly string[];
};

/** The same prefix for several keys. */
export function below(prefix: string, ...names: readonly string[]): readonly string[] {
  return names.map((name) => `${prefix}${name}`);
}
