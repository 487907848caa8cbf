import type { Exchange } from "../exchange/exchange.ts";
import type { BodyStage } from "../exchange/exchange.ts";

export type ResponseBodyOptions = {
  readonly exchange: Exchange;
  /** the sandbox's side or a stage takes more again */
  readonly onFlowing: () => void;
  /** a stage could not read what came */
  readonly onBroken: (error: Error) => void;
};

/**
 * The way of a response's body from the upstream to the sandbox, through the filters in their order. One of them may put a stage of
 * streams into the way, which answers later than it is asked: then what follows the filter happens when the stage lets go of bytes.
 */
export class ResponseBody {
  readonly #options: ResponseBodyOptions;
  #stage: BodyStage | undefined;
  /** number of the filter that the stage belongs to */
  #at = 0;
  #isOver = false;
  #isDiscarded = false;
  #hadBytes = false;
  #onEnded: () => void = () => undefined;

  constructor(options: ResponseBodyOptions) {
    this.#options = options;
  }

  /** After the filters saw the head. */
  open(): void {
    const { exchange } = this.#options;
    for (const [at, filter] of exchange.filters.entries()) {
      const stage = filter.stage?.();
      if (stage === undefined) continue;
      this.#stage = stage;
      this.#at = at;
      stage.input.on("drain", () => this.#options.onFlowing());
      stage.output.on("data", (bytes: Buffer) => {
        if (!this.#send(this.#through([bytes], at + 1))) stage.output.pause();
      });
      stage.output.on("end", () => this.#rest());
      stage.output.on("error", (error) => {
        if (!this.#isOver) this.#options.onBroken(error);
      });
      return;
    }
  }

  /** false: no more until `onFlowing` */
  write(chunk: Buffer): boolean {
    const stage = this.#stage;
    if (stage === undefined) return this.#send(this.#through([chunk], 0));
    return this.#feed(stage, this.#through([chunk], 0, this.#at));
  }

  /** `ended` is called when everything has gone to the sandbox. */
  end(ended: () => void): void {
    this.#onEnded = ended;
    const stage = this.#stage;
    if (stage === undefined) {
      this.#flush(0);
      ended();
      return;
    }
    const { filters } = this.#options.exchange;
    for (const [at, filter] of filters.slice(0, this.#at).entries())
      this.#feed(stage, this.#through(filter.flush?.() ?? [], at + 1, this.#at));
    // no coding has an empty text, but an answer to HEAD has none
    if (this.#hadBytes) stage.input.end();
    else this.#rest();
  }

  /** The sandbox's side takes more again. */
  resume(): void {
    this.#stage?.output.resume();
  }

  /** Nobody takes the rest: it goes through the filters, and no further. */
  discard(): void {
    this.#isDiscarded = true;
    this.resume();
  }

  abort(): void {
    this.#isOver = true;
    this.#stage?.input.destroy();
    this.#stage?.output.destroy();
  }

  #rest(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#flush(this.#at + 1);
    this.#stage?.input.destroy();
    this.#onEnded();
  }

  #feed(stage: BodyStage, pieces: readonly Uint8Array[]): boolean {
    let isFlowing = true;
    for (const piece of pieces) {
      if (piece.length === 0) continue;
      this.#hadBytes = true;
      isFlowing = stage.input.write(piece);
    }
    return isFlowing;
  }

  #flush(from: number): void {
    for (const [i, filter] of this.#options.exchange.filters.entries()) {
      if (i < from) continue;
      const held = filter.flush?.();
      if (held !== undefined && held.length > 0) this.#send(this.#through(held, i + 1));
    }
  }

  /** Pieces as the filters from number `from` to before `to` leave them. */
  #through(chunks: readonly Uint8Array[], from: number, to = this.#options.exchange.filters.length): readonly Uint8Array[] {
    const { filters } = this.#options.exchange;
    let pieces = chunks;
    for (let i = from; i < to; i += 1) {
      const filter = filters[i];
      const [only] = pieces;
      if (filter?.chunk === undefined || only === undefined) continue;
      pieces = pieces.length === 1 ? filter.chunk(only) : pieces.flatMap((piece) => filter.chunk?.(piece) ?? [piece]);
    }
    return pieces;
  }

  #send(pieces: readonly Uint8Array[]): boolean {
    const { exchange } = this.#options;
    let isFlowing = true;
    for (const piece of pieces) {
      if (piece.length === 0 || this.#isDiscarded) continue;
      exchange.bytesIn += piece.length;
      isFlowing = exchange.downstream.write(piece);
    }
    return isFlowing;
  }
}
