import {
  brotliCompressSync,
  brotliDecompressSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import type { Form } from "../../secrets/forms.ts";
import { redactText, StreamRedactor } from "../../secrets/scan.ts";
import type { ResponseFilter } from "../exchange/exchange.ts";
import type { HeaderList } from "../exchange/header-list.ts";
import { headerOf, withoutHeader } from "../exchange/headers.ts";

/** bytes of a compressed answer that are held to look into it; a longer one passes as it is */
const MAX_CODED = 1024 * 1024;
const MAX_PLAIN = 16 * 1024 * 1024;

type Codec = {
  readonly decode: (bytes: Buffer, options: { maxOutputLength: number }) => Buffer;
  readonly encode: (bytes: Buffer) => Buffer;
};

const CODECS: Readonly<Record<string, Codec>> = {
  gzip: { decode: gunzipSync, encode: gzipSync },
  "x-gzip": { decode: gunzipSync, encode: gzipSync },
  deflate: { decode: inflateSync, encode: deflateSync },
  br: { decode: brotliDecompressSync, encode: brotliCompressSync },
  zstd: { decode: zstdDecompressSync, encode: zstdCompressSync },
};

/**
 * Takes real values out of the answer to a request that carried them, wherever a server repeats them: reason phrase, headers, body,
 * trailers. What is put in their place has the same length. The request asked for an answer without compression; one that is
 * compressed all the same is held up to a limit and looked into as a whole.
 */
export class EchoFilter implements ResponseFilter {
  readonly #forms: readonly Form[];
  readonly #onFound: () => void;
  readonly #stream: StreamRedactor;
  #codec: Codec | undefined;
  #held: Buffer[] = [];
  #size = 0;
  #isOver = false;
  #isFound = false;

  constructor(forms: readonly Form[], onFound: () => void) {
    this.#forms = forms;
    this.#onFound = onFound;
    this.#stream = new StreamRedactor(forms);
  }

  text(text: string): string {
    const clean = redactText(this.#forms, text);
    if (clean !== text) this.#found();
    return clean;
  }

  fields(headers: HeaderList): HeaderList {
    const isClean = headers.every((field) => redactText(this.#forms, field) === field);
    return isClean ? headers : headers.map((field) => this.text(field));
  }

  head(_status: number, headers: HeaderList): HeaderList {
    const clean = this.fields(headers);
    const coding = headerOf(headers, "content-encoding")?.trim().toLowerCase() ?? "identity";
    this.#codec = coding === "identity" ? undefined : CODECS[coding];
    const isStream = /^\s*text\/event-stream/i.test(headerOf(headers, "content-type") ?? "");
    // a stream is not held; servers that compress events although they were asked not to are not known
    this.#isOver = coding !== "identity" && (this.#codec === undefined || isStream);
    return this.#codec === undefined || this.#isOver ? clean : withoutHeader(clean, "content-length");
  }

  chunk(chunk: Uint8Array): readonly Uint8Array[] {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#isOver) return [bytes];
    if (this.#codec !== undefined) return this.#hold(bytes);
    const clean = this.#stream.write(bytes);
    if (this.#stream.found > 0) this.#found();
    return [clean];
  }

  flush(): readonly Uint8Array[] {
    if (this.#codec === undefined) return [this.#stream.end()];
    const held = Buffer.concat(this.#held.splice(0));
    return [this.#isOver ? held : this.#inside(this.#codec, held)];
  }

  #hold(bytes: Buffer): readonly Uint8Array[] {
    this.#held.push(bytes);
    this.#size += bytes.length;
    if (this.#size <= MAX_CODED) return [];
    this.#isOver = true;
    return this.#held.splice(0);
  }

  #inside(codec: Codec, coded: Buffer): Buffer {
    let plain: Buffer;
    try {
      plain = codec.decode(coded, { maxOutputLength: MAX_PLAIN });
    } catch {
      // not that coding, or past the limit: nothing inside can read more of it than we can, or it is too large to look into
      return coded;
    }
    const whole = new StreamRedactor(this.#forms);
    const clean = Buffer.concat([whole.write(plain), whole.end()]);
    if (whole.found === 0) return coded;
    this.#found();
    return codec.encode(clean);
  }

  #found(): void {
    if (this.#isFound) return;
    this.#isFound = true;
    this.#onFound();
  }
}
