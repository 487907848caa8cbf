import { type Readable, Transform, type Writable } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from "node:zlib";
import type { Form } from "../../secrets/forms.ts";
import { type Needles, needlesOf } from "../../secrets/needles.ts";
import { StreamRedactor } from "../../secrets/scan.ts";
import type { BodyStage, ResponseFilter } from "../exchange/exchange.ts";
import type { HeaderList } from "../exchange/header-list.ts";
import { headerOf, withoutHeader } from "../exchange/headers.ts";
import { ZstdFrames } from "./zstd-frames.ts";

/** codings on top of each other; nobody uses more */
const MAX_CODINGS = 2;

/**
 * Takes real values out of the answer to a request that carried them, wherever a server repeats them: reason phrase, headers, body,
 * trailers. What is put in their place has the same length. The request asked for an answer without compression; one that is
 * compressed all the same is undone as it comes and passed on as it is, which every client can read. A coding that nobody here can undo
 * ends the answer.
 */
export class EchoFilter implements ResponseFilter {
  readonly #needles: Needles;
  readonly #onFound: () => void;
  readonly #mayUndo: () => boolean;
  readonly #stream: StreamRedactor;
  #codings: readonly string[] = [];
  #isFound = false;
  #isPassing = false;

  /** @param mayUndo asked once for an answer that is compressed: may another one be undone? */
  constructor(forms: readonly Form[], onFound: () => void, mayUndo: () => boolean) {
    this.#mayUndo = mayUndo;
    this.#needles = needlesOf(forms);
    this.#onFound = onFound;
    this.#stream = new StreamRedactor(forms);
  }

  /** What follows is not a body: somebody else looks into it. */
  passBody(): void {
    this.#isPassing = true;
  }

  text(text: string): string {
    const clean = this.#needles.replaceIn(text);
    if (clean !== text) this.#found();
    return clean;
  }

  fields(headers: HeaderList): HeaderList {
    for (const field of headers) if (this.#needles.replaceIn(field) !== field) return headers.map((one) => this.text(one));
    return headers;
  }

  head(_status: number, headers: HeaderList): HeaderList {
    const clean = this.fields(headers);
    const coding = headerOf(headers, "content-encoding");
    if (coding === undefined) return clean;
    this.#codings = coding
      .toLowerCase()
      .split(",")
      .map((one) => one.trim())
      .filter((one) => one !== "" && one !== "identity");
    if (this.#codings.length === 0) return clean;
    // length, coding and what was computed over the coded bytes no longer hold
    const changed = ["content-length", "content-encoding", "content-md5", "digest", "content-digest", "repr-digest", "etag"];
    return changed.reduce<HeaderList>(withoutHeader, clean);
  }

  stage(): BodyStage | undefined {
    if (this.#codings.length === 0) return undefined;
    const output = new Transform({
      transform: (chunk: Buffer, _encoding, done) => done(null, this.#clean(chunk)),
      flush: (done) => done(null, this.#stream.end()),
    });
    if (this.#codings.length > MAX_CODINGS) return broken(output, "more codings than anybody uses");
    if (!this.#mayUndo()) return broken(output, "a coding while too many others of this sandbox are undone");
    let next: Writable = output;
    // the last one named was put on last
    for (const coding of this.#codings) {
      const decoder = decoderFor(coding, next, output);
      if (decoder === undefined) return broken(output, "a coding that cannot be undone");
      next = decoder;
    }
    return { input: next, output };
  }

  chunk(chunk: Uint8Array): readonly Uint8Array[] {
    return [this.#isPassing ? chunk : this.#clean(asBuffer(chunk))];
  }

  flush(): readonly Uint8Array[] {
    return [this.#stream.end()];
  }

  #clean(bytes: Buffer): Buffer {
    const clean = this.#stream.write(bytes);
    if (this.#stream.found > 0) this.#found();
    return clean;
  }

  #found(): void {
    if (this.#isFound) return;
    this.#isFound = true;
    this.#onFound();
  }
}

/** Undoes one coding into `next`, at the pace of who reads; what cannot be undone breaks `output`. */
function decoderFor(coding: string, next: Writable, output: Readable): Writable | undefined {
  if (coding === "deflate") return eitherDeflate(next, output);
  const decoder = createDecoder(coding);
  if (decoder === undefined) return undefined;
  return connect(decoder, next, output);
}

function createDecoder(coding: string): Transform | undefined {
  if (coding === "gzip" || coding === "x-gzip") return createGunzip();
  if (coding === "br") return createBrotliDecompress();
  return coding === "zstd" ? new ZstdFrames() : undefined;
}

function connect(decoder: Transform, next: Writable, output: Readable): Writable {
  decoder.on("data", (chunk: Buffer) => {
    if (!next.write(chunk)) decoder.pause();
  });
  next.on("drain", () => decoder.resume());
  decoder.on("end", () => next.end());
  decoder.on("error", (error) => output.destroy(error));
  return decoder;
}

/** RFC 9110 §8.4.1.2 says zlib's format; many servers send what is inside of it. The first byte tells them apart. */
function eitherDeflate(next: Writable, output: Readable): Writable {
  let decoder: Writable | undefined;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      decoder ??= connect(((chunk[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw(), next, output);
      if (decoder.write(chunk)) done();
      else decoder.once("drain", done);
    },
    flush(done) {
      decoder?.end();
      done();
    },
  });
}

function broken(output: Transform, why: string): BodyStage {
  const input = new Transform({ transform: (_chunk, _encoding, done) => done() });
  queueMicrotask(() => output.destroy(new Error(`the answer came in ${why}, so it could not be searched for the value that was sent`)));
  return { input, output };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
