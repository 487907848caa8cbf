import { Readable } from "node:stream";
import type { Exchange, RequestBody } from "./exchange.ts";
import { Gathering } from "./gather.ts";

/** bodies of known length up to this many bytes are sent in one piece, and again if the connection turns out to be dead */
const SMALL_BODY = 64 * 1024;

export type HoldRequest = {
  /** bytes up to which it is wanted whole */
  readonly holdBytes?: number;
  /** bytes of its beginning that are wanted */
  readonly lookBytes?: number;
  /** ms that its beginning is waited for: a client may wait for an answer first */
  readonly lookMs?: number;
  /** called when that time passed or no more may be held, and the body goes on with what there is */
  readonly onLate?: () => void;
};

/** Who wants the body. */
export type BodyTaker = {
  onChunk(chunk: Buffer): void;
  /** false: so many bytes more must not be held, so the body passes from here on */
  mayHold(bytes: number): boolean;
};

/**
 * The body to send: held in one piece when it is small, or when the caller wants to have up to `holdBytes` of it whole; else a stream,
 * whose first `lookBytes` are there when it is made. `gone` when the sender left while it was being held.
 */
export async function takeBody(
  source: Readable,
  length: number | null,
  { holdBytes = 0, lookBytes = 0, lookMs, onLate }: HoldRequest,
  taker: BodyTaker,
): Promise<RequestBody | "gone"> {
  const onChunk = (chunk: Buffer): void => taker.onChunk(chunk);
  const limit = Math.max(holdBytes, lookBytes, length !== null && length <= SMALL_BODY ? SMALL_BODY : 0);
  const isTooLong = length !== null && length > limit;
  if (limit === 0 || (isTooLong && lookBytes === 0)) return { kind: "stream", stream: new PassingBody(source, [], onChunk), length };
  // what is wanted whole has no other end than its own, or the idle limit
  const waitMs = holdBytes > 0 && !isTooLong ? undefined : lookMs;
  const held = await holdBody(source, length, { limit: isTooLong ? lookBytes : limit, waitMs, onLate }, taker);
  if (held === undefined) return "gone";
  if (!held.complete) return { kind: "stream", stream: new PassingBody(source, held.prefix, onChunk), length };
  return { kind: "bytes", bytes: held.bytes };
}

/** Settles what is sent as the body, for whoever comes first, who may hold some of it; `gone` when the client left meanwhile. */
export async function takeRequestBody(exchange: Exchange, held: HoldRequest = {}): Promise<"ready" | "gone"> {
  const { downstream, request } = exchange;
  if (downstream.source === null) {
    exchange.body = { kind: "none" };
    return "ready";
  }
  if (request.expectsContinue) downstream.proceed();
  const body = await takeBody(downstream.source, request.contentLength, held, {
    onChunk: (chunk) => {
      exchange.bytesOut += chunk.length;
    },
    mayHold: (bytes) => exchange.holding.takeBytes(bytes),
  });
  if (body === "gone") return "gone";
  exchange.body = body;
  return "ready";
}

/** Looks at what passes. Both methods say true when the body must not go on. */
export interface BodyGuard {
  chunk(bytes: Buffer): boolean;
  /** called after the last piece; never rejects */
  end(): Promise<boolean>;
  /** the verdict may come after the pieces it is about: the last one waits for it */
  readonly isLate: boolean;
}

/** Puts other bytes in the place of what passes, as many in all, and may hold some of them for a while. */
export interface BodyChange {
  /** what may go on now; undefined: nothing more may */
  write(bytes: Buffer): readonly Buffer[] | undefined;
  /** false: it must not end like this */
  end(): boolean;
}

/** What was read of a body before the limit: all of it, or the first part with the rest still waiting in the source. */
type Held = { readonly complete: true; readonly bytes: Buffer } | { readonly complete: false; readonly prefix: readonly Buffer[] };

type HoldLimits = { readonly limit: number; readonly waitMs: number | undefined; readonly onLate: (() => void) | undefined };

/**
 * Reads a body until its end, until more than `limit` bytes are held, no more may be, or `waitMs` passed; then pauses the source.
 * Resolves with undefined when the sender left before the end.
 */
function holdBody(
  source: Readable,
  length: number | null,
  { limit, waitMs, onLate }: HoldLimits,
  taker: BodyTaker,
): Promise<Held | undefined> {
  return new Promise((resolve) => {
    const gathering = new Gathering(length !== null && length <= limit ? length : null);
    const settle = (held: Held | undefined): void => {
      clearTimeout(timer);
      source.off("data", onData);
      source.off("end", onEnd);
      source.off("close", onClose);
      source.off("error", onClose);
      resolve(held);
    };
    const stop = (): void => {
      source.pause();
      settle({ complete: false, prefix: gathering.pieces() });
    };
    const onData = (chunk: Buffer): void => {
      gathering.add(chunk);
      taker.onChunk(chunk);
      const mayHold = taker.mayHold(chunk.length);
      if (gathering.size > limit) stop();
      else if (!mayHold) giveUp();
    };
    const giveUp = (): void => {
      onLate?.();
      stop();
    };
    const timer = waitMs === undefined ? undefined : setTimeout(giveUp, waitMs);
    const onEnd = (): void => settle({ complete: true, bytes: gathering.bytes() });
    const onClose = (): void => settle(undefined);
    source.on("data", onData);
    source.on("end", onEnd);
    source.on("close", onClose);
    source.on("error", onClose);
    if (source.destroyed && !source.readableEnded) onClose();
  });
}

/**
 * A body that passes through with back-pressure. Destroying it leaves its source alone, whose rest is then read and thrown away: the
 * client's connection must stay usable for the response.
 */
export class PassingBody extends Readable {
  readonly #source: Readable;
  #onChunk: (chunk: Buffer) => void;
  #prefix: readonly Buffer[];
  #guard: BodyGuard | undefined;
  #onRefused: () => void = () => undefined;
  #change: BodyChange | undefined;
  #onFault: () => void = () => undefined;
  /** the last piece, while a guard that is late may still refuse it */
  #held: Buffer | undefined;
  readonly #onData = (chunk: Buffer): void => {
    this.#onChunk(chunk);
    if (!this.#pass(chunk)) this.#source.pause();
  };
  readonly #onEnd = (): void => {
    if (this.#guard === undefined) this.#close();
    else void this.#guard.end().then((isRefused) => this.#finish(isRefused));
  };
  readonly #onClose = (): void => {
    if (!this.#source.readableEnded) this.destroy(new Error("the client left before its body ended"));
  };

  constructor(source: Readable, prefix: readonly Buffer[], onChunk: (chunk: Buffer) => void) {
    super({ highWaterMark: 64 * 1024 });
    this.#source = source;
    this.#prefix = prefix;
    this.#onChunk = onChunk;
    source.on("end", this.#onEnd);
    source.on("close", this.#onClose);
    source.on("error", this.#onClose);
    // the client may leave while the upstream is still being dialled and nobody reads yet; the exchange learns of it by itself
    this.on("error", () => this.destroy());
  }

  /** From now on nothing passes that the guard refuses; `onRefused` is called before the body breaks off. Set before it is read. */
  guard(guard: BodyGuard, onRefused: () => void): void {
    this.#guard = guard;
    this.#onRefused = onRefused;
  }

  /** From now on what passes is changed, after the guard has seen it; `onFault` is called before it breaks off. Set before it is read. */
  change(change: BodyChange, onFault: () => void): void {
    this.#change = change;
    this.#onFault = onFault;
  }

  /** What was held of it and has not been read yet. */
  get beginning(): readonly Buffer[] {
    return this.#prefix;
  }

  /** Shows every piece to somebody else as well, those that were held at once. Set before it is read. */
  watch(onChunk: (chunk: Buffer) => void): void {
    const before = this.#onChunk;
    for (const chunk of this.#prefix) onChunk(chunk);
    const both = (chunk: Buffer): void => {
      before(chunk);
      onChunk(chunk);
    };
    this.#onChunk = both;
  }

  /** True: more is wanted. */
  #pass(chunk: Buffer): boolean {
    const guard = this.#guard;
    if (guard === undefined) return this.#emit(chunk);
    if (guard.chunk(chunk)) {
      this.#refuse(this.#onRefused);
      return true;
    }
    if (!guard.isLate) return this.#emit(chunk);
    const before = this.#held;
    this.#held = chunk;
    return before === undefined ? true : this.#emit(before);
  }

  #emit(chunk: Buffer): boolean {
    if (this.#change === undefined) return this.push(chunk);
    const pieces = this.#change.write(chunk);
    if (pieces === undefined) this.#refuse(this.#onFault);
    return (pieces ?? []).reduce((_, piece) => this.push(piece), true);
  }

  #finish(isRefused: boolean): void {
    if (this.destroyed) return;
    if (isRefused) {
      this.#refuse(this.#onRefused);
      return;
    }
    if (this.#held !== undefined) this.#emit(this.#held);
    this.#close();
  }

  #close(): void {
    if (this.destroyed) return;
    if (this.#change?.end() === false) this.#refuse(this.#onFault);
    else this.push(null);
  }

  #refuse(onRefused: () => void): void {
    if (this.destroyed) return;
    onRefused();
    this.destroy(new Error("the body holds what must not leave"));
  }

  override _read(): void {
    if (this.#prefix.length > 0) {
      const prefix = this.#prefix;
      this.#prefix = [];
      const isWanted = prefix.reduce((_, chunk) => this.#pass(chunk), true);
      this.#source.on("data", this.#onData);
      // nobody asks again before something came, and all of it may be held
      if (isWanted) this.#source.resume();
      else this.#source.pause();
      return;
    }
    if (this.#source.listenerCount("data") === 0) this.#source.on("data", this.#onData);
    this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source.off("data", this.#onData);
    this.#source.off("end", this.#onEnd);
    this.#source.off("close", this.#onClose);
    this.#source.off("error", this.#onClose);
    this.#source.resume();
    callback(error);
  }
}
