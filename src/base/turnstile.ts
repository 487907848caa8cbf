/**
 * Lets one through per turn of the event loop, in order, so that work which holds the loop for milliseconds (a fork of this process,
 * a transaction) is answered by everything else in between, however many ask for it at once.
 */
export class Turnstile {
  #last: Promise<void> = Promise.resolve();

  pass(): Promise<void> {
    this.#last = this.#last.then(() => new Promise((resolve) => setImmediate(resolve)));
    return this.#last;
  }
}
