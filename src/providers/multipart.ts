/** Takes the fields of a form. Methods must not throw. */
export interface MultipartSink {
  /** is the text of this field wanted? */
  wantsField(name: string): boolean;
  field(name: string, text: string): void;
  /** a wanted field was larger than the cap */
  dropped(name: string): void;
}

/** The boundary of a `multipart/form-data` content type; null when it has none that RFC 2046 §5.1.1 permits. */
export function multipartBoundary(contentType: string): string | null {
  const found = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return found?.[1] ?? found?.[2] ?? null;
}

const PREAMBLE = 0;
const AFTER_DELIMITER = 1;
const HEADERS = 2;
const BODY = 3;
const EPILOGUE = 4;
const FAILED = 5;

/** of all headers of one part; browsers send below 500 bytes */
const MAX_HEADERS = 8 * 1024;
const END_OF_HEADERS = Buffer.from("\r\n\r\n");

/**
 * Reads the small fields of a `multipart/form-data` body as it passes, wherever they stand: files of any size are skipped with a
 * native search, and no more is held than one delimiter, the headers of one part, and one wanted field up to the cap.
 */
export class MultipartParser {
  readonly #sink: MultipartSink;
  readonly #cap: number;
  /** CRLF, two dashes, the boundary */
  readonly #delimiter: Buffer;
  #state = PREAMBLE;
  /** bytes that may be the begin of what is looked for */
  #tail: Buffer = Buffer.alloc(0);
  #name: string | null = null;
  #value: Buffer[] = [];
  #valueBytes = 0;
  #sawBytes = false;

  constructor(boundary: string, sink: MultipartSink, cap: number) {
    this.#sink = sink;
    this.#cap = cap;
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, "latin1");
    // the first delimiter needs no line before it
    this.#tail = Buffer.from("\r\n");
  }

  write(chunk: Buffer): void {
    if (chunk.length > 0) this.#sawBytes = true;
    let rest = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    this.#tail = Buffer.alloc(0);
    while (rest.length > 0) {
      const used = this.#step(rest);
      if (used < 0) {
        // a copy: a slice would keep the whole chunk alive
        this.#tail = Buffer.from(rest);
        return;
      }
      rest = rest.subarray(used);
    }
  }

  finish(): "complete" | "empty" | "failed" {
    if (!this.#sawBytes) return "empty";
    return this.#state === EPILOGUE ? "complete" : "failed";
  }

  /** How many bytes were used; -1 when more are needed to tell. */
  #step(bytes: Buffer): number {
    switch (this.#state) {
      case PREAMBLE:
      case BODY:
        return this.#body(bytes);
      case AFTER_DELIMITER:
        return this.#afterDelimiter(bytes);
      case HEADERS:
        return this.#head(bytes);
      default:
        return bytes.length;
    }
  }

  #body(bytes: Buffer): number {
    const found = bytes.indexOf(this.#delimiter);
    if (found >= 0) {
      this.#keep(bytes.subarray(0, found));
      this.#endPart();
      this.#state = AFTER_DELIMITER;
      return found + this.#delimiter.length;
    }
    const sure = bytes.length - partialLength(bytes, this.#delimiter);
    if (sure === 0) return -1;
    this.#keep(bytes.subarray(0, sure));
    return sure;
  }

  /** Behind a delimiter stand two dashes, or blanks and the end of the line. */
  #afterDelimiter(bytes: Buffer): number {
    if (bytes[0] === 0x2d) {
      if (bytes.length < 2) return -1;
      this.#state = bytes[1] === 0x2d ? EPILOGUE : FAILED;
      return 2;
    }
    if (bytes[0] === 0x20 || bytes[0] === 0x09) return 1;
    if (bytes[0] === 0x0d && bytes.length < 2) return -1;
    if (bytes[0] === 0x0d && bytes[1] === 0x0a) {
      this.#state = HEADERS;
      // the line end stays: with it a blank line is found in one way, whether there are headers or not
      return 0;
    }
    this.#state = FAILED;
    return bytes.length;
  }

  #head(bytes: Buffer): number {
    const end = bytes.indexOf(END_OF_HEADERS);
    if (end < 0) {
      if (bytes.length > MAX_HEADERS) {
        this.#state = FAILED;
        return bytes.length;
      }
      return -1;
    }
    if (end > MAX_HEADERS) {
      this.#state = FAILED;
      return bytes.length;
    }
    const name = fieldName(bytes.toString("utf8", 0, end));
    this.#name = name !== null && this.#sink.wantsField(name) ? name : null;
    this.#value = [];
    this.#valueBytes = 0;
    this.#state = BODY;
    // the line end stays, since an empty part's delimiter begins with it
    return end + 2;
  }

  #keep(bytes: Buffer): void {
    if (this.#name === null || this.#valueBytes > this.#cap) return;
    this.#valueBytes += bytes.length;
    if (this.#valueBytes <= this.#cap) this.#value.push(Buffer.from(bytes));
    else this.#value = [];
  }

  #endPart(): void {
    const name = this.#name;
    this.#name = null;
    if (name === null) return;
    // its first two bytes are the end of the blank line
    if (this.#valueBytes > this.#cap) this.#sink.dropped(name);
    else this.#sink.field(name, Buffer.concat(this.#value).toString("utf8").slice(2));
    this.#value = [];
  }
}

/** How many bytes at the end may be the begin of the needle. */
function partialLength(bytes: Buffer, needle: Buffer): number {
  const most = Math.min(bytes.length, needle.length - 1);
  for (let length = most; length > 0; length -= 1) {
    if (bytes[bytes.length - length] !== needle[0]) continue;
    if (bytes.compare(needle, 0, length, bytes.length - length) === 0) return length;
  }
  return 0;
}

/** `name` of a part that is no file. */
function fieldName(headers: string): string | null {
  const disposition = /\r\ncontent-disposition:([^\r\n]*)/i.exec(`\r\n${headers}`)?.[1];
  if (disposition === undefined || /;\s*filename\*?=/i.test(disposition)) return null;
  const found = /;\s*name=(?:"([^"]*)"|([^\s;"]+))/i.exec(disposition);
  return found?.[1] ?? found?.[2] ?? null;
}
