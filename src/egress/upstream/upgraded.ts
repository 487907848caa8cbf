import type { Duplex } from "node:stream";

/** What a byte stream goes through on its way; synchronous, and never throws. */
export type Sieve = {
  /** the bytes to forward now */
  chunk(chunk: Buffer): readonly Uint8Array[];
  /** bytes held back until the end */
  flush(): readonly Uint8Array[];
};

/** which side was the first to end or to break off; `cut`: we did */
export type UpgradedEnd = "client" | "server" | "cut";

/** A client that is gone: what it said last, its goodbye, may still reach the server (ms). */
const GOODBYE_MS = 1_000;
/** A client that reads slowly: what the server said last may still reach it (ms). */
const LAST_BYTES_MS = 5_000;

/**
 * An upgraded connection: bytes move both ways, each through a sieve of its own and with back-pressure, until both sides are closed.
 * A side that ends ends the other, at the latest after a short while: what is left of a call whose client is gone costs money.
 */
export class Upgraded {
  readonly #client: Duplex;
  readonly #server: Duplex;
  readonly #done = Promise.withResolvers<UpgradedEnd>();
  readonly #timers: NodeJS.Timeout[] = [];
  #first: UpgradedEnd | undefined;
  #open = 2;

  constructor(client: Duplex, server: Duplex) {
    this.#client = client;
    this.#server = server;
  }

  /** never rejects: a break is an end */
  get closed(): Promise<UpgradedEnd> {
    return this.#done.promise;
  }

  start(out: Sieve, back: Sieve): void {
    this.#pump("client", out);
    this.#pump("server", back);
  }

  /** Nothing more passes; the server is gone at once, the client gets these last bytes and its end. */
  cut(last: readonly Uint8Array[]): void {
    if (this.#first === "cut") return;
    this.#first = "cut";
    for (const piece of last) if (this.#client.writable) this.#client.write(piece);
    this.#server.destroy();
    this.#end(this.#client, LAST_BYTES_MS);
  }

  #pump(side: "client" | "server", sieve: Sieve): void {
    const [from, to] = side === "client" ? [this.#client, this.#server] : [this.#server, this.#client];
    const write = (pieces: readonly Uint8Array[]): void => {
      for (const piece of pieces) if (piece.length > 0 && to.writable && !to.write(piece)) from.pause();
    };
    const over = (): void => {
      this.#first ??= side;
      this.#end(to, side === "client" ? GOODBYE_MS : LAST_BYTES_MS);
    };
    const closed = (): void => {
      // one that broke off takes the other with it; one that ended lets it have the rest
      if (!from.readableEnded && this.#first !== "cut") to.destroy();
      over();
      this.#open -= 1;
      if (this.#open > 0) return;
      for (const timer of this.#timers) clearTimeout(timer);
      this.#done.resolve(this.#first ?? side);
    };
    to.on("drain", () => from.resume());
    from.on("data", (chunk: Buffer) => {
      if (this.#first !== "cut") write(sieve.chunk(chunk));
    });
    from.on("end", () => {
      if (this.#first !== "cut") write(sieve.flush());
      over();
    });
    from.on("error", ignored);
    if (from.destroyed) closed();
    else from.on("close", closed);
  }

  #end(one: Duplex, withinMs: number): void {
    if (one.destroyed || one.writableEnded) return;
    one.end();
    // nobody takes what it still says
    one.resume();
    this.#timers.push(setTimeout(() => one.destroy(), withinMs));
  }
}

function ignored(): void {
  // the close that follows is what counts
}
