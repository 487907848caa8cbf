/** Wakes whoever listens; a ring that nobody heard yet is heard at once. */
export class Bell {
  #isRung = false;
  readonly #waiting = new Set<() => void>();

  ring(): void {
    this.#isRung = true;
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves at the next ring or after `ms`. */
  async heard(ms: number): Promise<void> {
    if (!this.#isRung && ms > 0) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, Math.min(ms, 2 ** 31 - 1));
        this.#waiting.add(wake);
      });
    }
    this.#isRung = false;
  }
}
