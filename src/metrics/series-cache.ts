/** sets of raw label values remembered; a sandbox can invent them without end, and then all are found anew */
const MAX = 2000;

/** Series by the raw values that their labels are made from, so that labels are cleaned and put together once. */
export class SeriesCache<T> {
  readonly #known = new Map<string, T>();

  get(raw: readonly (string | number | boolean | null | undefined)[], find: () => T): T {
    const key = raw.join("\0");
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const found = find();
    if (this.#known.size >= MAX) this.#known.clear();
    this.#known.set(key, found);
    return found;
  }

  clear(): void {
    this.#known.clear();
  }
}
