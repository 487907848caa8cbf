/** Answers that may be read on at the same time, over all sandboxes. */
const MAX_DRAINS = 8;
/** how long one may go on (ms) */
const DRAIN_MS = 60_000;

/** Answers whose clients have left and that are read to their end all the same, for the figures in them: `[llm].drain_on_abort`. */
export class Drains {
  readonly #cuts = new Map<object, Set<() => void>>();
  #count = 0;

  /** Null when there are too many. What it gives is called once, when the answer is over; `cut` ends one that takes too long. */
  begin(owner: object, cut: () => void): (() => void) | null {
    if (this.#count === MAX_DRAINS) return null;
    this.#count += 1;
    const own = this.#cuts.get(owner) ?? new Set();
    this.#cuts.set(owner, own.add(cut));
    const timer = setTimeout(cut, DRAIN_MS);
    return () => {
      clearTimeout(timer);
      if (!own.delete(cut)) return;
      this.#count -= 1;
      if (own.size === 0) this.#cuts.delete(owner);
    };
  }

  /** The sandbox ended, or may do something else now: nothing is read on for it. */
  endOf(owner: object): void {
    for (const cut of [...(this.#cuts.get(owner) ?? [])]) cut();
  }
}
