import { AppError } from "../base/error.ts";

/** Waiters beyond this are refused: a caller that never awaits its appends must not take all memory. */
const MAX_WAITERS = 100_000;

type Waiter = { readonly bytes: number; readonly admit: () => void };

/** Lets so many events and bytes in at a time; the others wait outside, in order. */
export class WaitingRoom {
  readonly #maxEvents: number;
  readonly #maxBytes: number;
  #waiters: Waiter[] = [];
  #events = 0;
  #bytes = 0;

  constructor(maxEvents: number, maxBytes: number) {
    this.#maxEvents = maxEvents;
    this.#maxBytes = maxBytes;
  }

  get events(): number {
    return this.#events + this.#waiters.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  enter(bytes: number, admit: () => void, refuse: (error: AppError) => void): void {
    if (this.#waiters.length >= MAX_WAITERS) {
      refuse(
        new AppError("AUDIT_UNAVAILABLE", "too many events wait for the audit log", { hint: "the disk cannot keep up; await each append" }),
      );
      return;
    }
    if (this.#waiters.length > 0 || !this.#hasRoom()) this.#waiters.push({ bytes, admit });
    else this.#admit({ bytes, admit });
  }

  /** Counts one that does not have to wait. */
  add(bytes: number): void {
    this.#events += 1;
    this.#bytes += bytes;
  }

  leave(events: number, bytes: number): void {
    this.#events -= events;
    this.#bytes -= bytes;
    let admitted = 0;
    for (const waiter of this.#waiters) {
      if (!this.#hasRoom()) break;
      this.#admit(waiter);
      admitted += 1;
    }
    if (admitted > 0) this.#waiters = this.#waiters.slice(admitted);
  }

  #hasRoom(): boolean {
    return this.#events < this.#maxEvents && this.#bytes < this.#maxBytes;
  }

  #admit(waiter: Waiter): void {
    this.add(waiter.bytes);
    waiter.admit();
  }
}
