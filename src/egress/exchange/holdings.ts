/** What the requests of one sandbox may make the gateway hold at once. */
export type HoldingLimits = {
  /** bytes of request bodies that are held to be read or changed */
  readonly heldBytesPerSandbox: number;
  /** exchanges with a compressed body that is read: each has decoders, with a window of up to 16 MiB that a few bytes can fill */
  readonly codedBodiesPerSandbox: number;
};

/** Counts what the exchanges of one sandbox hold. Each limit of one exchange times their number would be more than a machine has. */
export class Holdings {
  readonly #limits: HoldingLimits;
  #bytes = 0;
  #coded = 0;

  constructor(limits: HoldingLimits) {
    this.#limits = limits;
  }

  /** The part of one exchange. */
  open(): Holding {
    let bytes = 0;
    let isCoded = false;
    return {
      takeBytes: (count) => {
        if (this.#bytes + count > this.#limits.heldBytesPerSandbox) return false;
        this.#bytes += count;
        bytes += count;
        return true;
      },
      takeDecoders: () => {
        if (isCoded) return true;
        if (this.#coded >= this.#limits.codedBodiesPerSandbox) return false;
        this.#coded += 1;
        isCoded = true;
        return true;
      },
      release: () => {
        this.#bytes -= bytes;
        bytes = 0;
        if (isCoded) this.#coded -= 1;
        isCoded = false;
      },
    };
  }
}

/** What one exchange holds of what its sandbox may hold. */
export interface Holding {
  /** false: so many bytes more must not be held */
  takeBytes(count: number): boolean;
  /** false: no further compressed body may be read */
  takeDecoders(): boolean;
  /** at the end of the exchange; idempotent */
  release(): void;
}
