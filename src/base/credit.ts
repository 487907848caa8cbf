/**
 * Flow control by credit: a sender may have as many bytes under way as the receiver has granted. It keeps memory bounded on
 * both sides without ever stopping the connection itself, so that a signal overtakes data that nobody reads.
 */

/** What a sender may still send. */
export class SendCredit {
  #available: number;
  #closed = false;
  #waiting: (() => void)[] = [];

  constructor(initial: number) {
    this.#available = initial;
  }

  /** Takes up to `wanted` bytes of credit, waiting until there is some; 0 when closed. */
  async take(wanted: number): Promise<number> {
    while (this.#available === 0 && !this.#closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#closed) return 0;
    const taken = Math.min(wanted, this.#available);
    this.#available -= taken;
    return taken;
  }

  grant(bytes: number): void {
    this.#available += bytes;
    this.#wake();
  }

  /** The receiver wants no more: everybody who waits is told so. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** What a receiver has granted, and when it should grant more. */
export class ReceiveCredit {
  readonly #window: number;
  readonly #grant: (bytes: number) => void;
  #open: number;
  #consumed = 0;

  constructor(window: number, grant: (bytes: number) => void) {
    this.#window = window;
    this.#grant = grant;
    this.#open = window;
  }

  /** Bytes arrived. False when the sender had no credit for them. */
  receive(bytes: number): boolean {
    this.#open -= bytes;
    return this.#open >= 0;
  }

  /** Bytes were passed on; grants in halves of the window, not for every chunk. */
  consume(bytes: number): void {
    this.#consumed += bytes;
    if (this.#consumed < this.#window / 2) return;
    const grant = this.#consumed;
    this.#consumed = 0;
    this.#open += grant;
    this.#grant(grant);
  }
}
