import { isUtf8 } from "node:buffer";
import { createBodyDecoder, type BodyDecoder } from "../../providers/decode/body-decoder.ts";
import type { ShownBody } from "../../schema/event.ts";
import { wholeCharacters } from "../../schema/shown-body.ts";
import type { Form } from "../../secrets/forms.ts";
import { StreamRedactor } from "../../secrets/scan.ts";

/** bytes that are read past a cap: a secret that the cap cuts is still seen whole, and masked */
export const MARGIN = 4 * 1024;
/** bytes waiting for a decoder, and what it may make of them beyond what is wanted */
const QUEUE = 1024 * 1024;

export type CapturedBody = {
  readonly bytes: Buffer;
  /** bytes as they were sent; null: more came, and nobody knows how many */
  readonly size: number | null;
  /** nothing is missing behind `bytes` */
  readonly isWhole: boolean;
  /** what its receiver makes of it is not known */
  readonly isUndecodable: boolean;
};

/** Collects the beginning of a body that passes, decoded from its content coding; one whose coding nobody knows as it is. */
export class BodyCapture {
  readonly #limit: number;
  readonly #decoder: BodyDecoder | null;
  readonly #parts: Buffer[] = [];
  #held = 0;
  #size = 0;
  #isCut = false;

  constructor(limit: number, contentEncoding: string | undefined) {
    this.#limit = limit;
    const limits = { queueBytes: QUEUE, outputBytes: limit + QUEUE, ratio: 1000 };
    this.#decoder = createBodyDecoder(contentEncoding, limits, (chunk) => this.#keep(chunk));
  }

  write(chunk: Buffer): void {
    this.#size += chunk.length;
    // what is full needs no more decoding
    if (this.#held >= this.#limit) this.#isCut ||= chunk.length > 0;
    else if (this.#decoder === null) this.#keep(chunk);
    else this.#decoder.write(chunk);
  }

  /** `size` replaces what was counted, when only a part was written. Never rejects. */
  async end(size: number | null = this.#size): Promise<CapturedBody> {
    const end = (await this.#decoder?.end()) ?? "complete";
    const isComplete = !this.#isCut && size === this.#size;
    return {
      bytes: Buffer.concat(this.#parts),
      size,
      isWhole: isComplete && end === "complete",
      isUndecodable: this.#decoder === null || (!this.#isCut && end !== "complete" && (end !== "truncated" || isComplete)),
    };
  }

  #keep(chunk: Buffer): void {
    const room = this.#limit - this.#held;
    if (chunk.length > room) this.#isCut = true;
    if (room <= 0) return;
    // a copy: a view would keep the whole piece alive
    this.#parts.push(Buffer.from(chunk.subarray(0, room)));
    this.#held += Math.min(room, chunk.length);
  }
}

export type Mask = {
  /** real values, which no body shows */
  readonly forms: readonly Form[];
  /** replaces what looks like a secret */
  readonly text: (text: string) => string;
};

/** At most `cap` bytes of a body as others may see them: text where it is text, else base64. */
export function showBody({ bytes, size, isWhole, isUndecodable }: CapturedBody, cap: number, mask: Mask): ShownBody {
  const redactor = new StreamRedactor(mask.forms);
  const clean = Buffer.concat([redactor.write(bytes), redactor.end()]);
  const text = textOf(clean, isWhole);
  const shown = text === undefined ? clean : Buffer.from(mask.text(text));
  const cut = shown.length > cap ? shown.subarray(0, text === undefined ? cap : wholeCharacters(shown, cap)) : shown;
  const content = text === undefined ? undefined : cut.toString("utf8");
  const isText = content !== undefined && fitsAsText(content, cap);
  return {
    content: isText ? content : cut.toString("base64"),
    encoding: isText ? "utf8" : "base64",
    size,
    truncated: !isWhole || cut.length < shown.length,
    ...(isUndecodable ? { undecodable: true } : {}),
  };
}

function textOf(bytes: Buffer, isWhole: boolean): string | undefined {
  const end = isWhole ? bytes.length : wholeCharacters(bytes, bytes.length);
  const part = bytes.subarray(0, end);
  return isUtf8(part) ? part.toString("utf8") : undefined;
}

/** What the log writes as an escape of six bytes, beside what JSON itself escapes. */
const ESCAPED = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text that would grow past what base64 takes is sent as that: an event has only so much room. */
function fitsAsText(text: string, cap: number): boolean {
  const escapes = text.match(ESCAPED)?.length ?? 0;
  return Buffer.byteLength(JSON.stringify(text)) + 4 * escapes <= Math.ceil((cap * 4) / 3) + 4;
}
