/** Where every value goes that is not known, not well-formed, or one too many. */
export const OTHER = "_other";

const WELL_FORMED = /^[A-Za-z0-9._:/@+-]{1,128}$/;

/**
 * Keeps a label's values few and harmless: they come from inside the sandbox or from upstream, and every new one is a time series
 * for as long as the process lives.
 */
export class LabelGuard {
  readonly #limit: number;
  readonly #known = new Set<string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The value as a label. With `admit` false an unknown value stays unknown, so that failed calls cannot use up the places. */
  clean(value: string | null | undefined, admit = true): string {
    if (value == null || !WELL_FORMED.test(value)) return OTHER;
    if (this.#known.has(value)) return value;
    if (!admit || this.#known.size >= this.#limit) return OTHER;
    this.#known.add(value);
    return value;
  }

  forget(value: string): void {
    this.#known.delete(value);
  }
}
