/** At most so many at a time; the rest wait in order. */
export class Semaphore {
  readonly #waiting: { readonly admit: () => void; readonly signal: AbortSignal }[] = [];
  #free: number;

  constructor(permits: number) {
    this.#free = permits;
  }

  /** Waits for a permit, which disposing gives back. Rejects with the signal's reason. */
  async acquire(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return this.#permit();
    }
    return new Promise((resolve, reject) => {
      const entry = {
        signal,
        admit: () => {
          signal.removeEventListener("abort", onAbort);
          resolve(this.#permit());
        },
      };
      const onAbort = (): void => {
        const at = this.#waiting.indexOf(entry);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(entry);
    });
  }

  #permit(): Disposable {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const next = this.#waiting.shift();
        if (next === undefined) this.#free += 1;
        else next.admit();
      },
    };
  }
}
