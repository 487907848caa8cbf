import { EventStreamParser, type EventStreamMessage, type EventStreamSink } from "./eventstream.ts";
import { giveBackScanner, takeScanner } from "./json/free-scanners.ts";
import type { PathNode } from "./json/paths.ts";
import type { JsonScanner, JsonSink, ScanResult } from "./json/scanner.ts";
import { SseParser, type SseField, type SseSink } from "./sse.ts";

const LF = 0x0a;
const OPEN_BRACKET = 0x5b;
const NEW_LINE = Buffer.from("\n");
/** a usage object with its details is below 4 KiB; iterations may hold a few dozen entries */
const VALUE_CAP = 64 * 1024;

/** What was read of the framing, for the verdict at the end. */
export type FramingReport = {
  readonly kind: "sse" | "json" | "eventstream" | "unknown" | "empty";
  /** JSON documents that were read to their end */
  readonly documents: number;
  /** JSON documents that could not be read, `[DONE]` not counted */
  readonly broken: number;
  /** a `data: [DONE]` came */
  readonly done: boolean;
  /** type of an exception that an event stream carried instead of an event */
  readonly exception: string | null;
  /** a message of an event stream was too large to be read */
  readonly skipped: boolean;
};

/** The tap behind the framing. */
export type DocumentSink = JsonSink & { document?(): void };

/**
 * Finds out how a body is framed, from its first byte before its content type (some servers label streams as JSON and answer
 * stream calls with plain JSON), and reads every JSON document in it: SSE data, NDJSON lines, event stream payloads, one document,
 * one array.
 */
export class BodyFraming implements SseSink, EventStreamSink {
  readonly #sink: DocumentSink;
  readonly #paths: PathNode;
  /** while a document is open */
  #scanner: JsonScanner | undefined;
  /** made once the body is known to be of their kind */
  #sse: SseParser | undefined;
  #messages: EventStreamParser | undefined;
  readonly #saysSse: boolean;
  readonly #saysLines: boolean;
  readonly #saysMessages: boolean;
  #kind: FramingReport["kind"] = "empty";
  #bom = 0;
  #documents = 0;
  #broken = 0;
  #done = false;
  #dataBytes = 0;
  #dataLines = 0;
  #doneText = "";
  #resync = false;
  #exception: string | null = null;
  #skipped = false;

  constructor(paths: PathNode, sink: DocumentSink, contentType: string | undefined) {
    this.#sink = sink;
    this.#paths = paths;
    const type = (contentType ?? "").toLowerCase();
    this.#saysSse = type.includes("event-stream");
    this.#saysMessages = type.includes("amazon.eventstream");
    this.#saysLines = type.includes("ndjson") || type.includes("jsonl") || type.includes("json-seq") || type.includes("stream+json");
  }

  write(chunk: Buffer): void {
    const from = this.#kind === "empty" ? this.#sniff(chunk) : 0;
    // blank bytes before the first one that tells are no loss to any framing
    if (from >= 0) this.#dispatch(this.#kind, chunk, from);
  }

  #dispatch(kind: FramingReport["kind"], chunk: Buffer, from: number): void {
    if (kind === "sse") (this.#sse ??= new SseParser(this)).write(from === 0 ? chunk : chunk.subarray(from));
    else if (kind === "json") this.#json(chunk, from);
    else if (kind === "eventstream") (this.#messages ??= new EventStreamParser(this)).write(chunk);
  }

  end(): FramingReport {
    if (this.#kind === "sse") {
      // an event without its blank line counts: the connection's end ended it
      this.#endEvent();
    } else if (this.#kind === "json") {
      if (isBroken(this.#endDocument())) this.#broken += 1;
    } else if (this.#kind === "eventstream" && (this.#messages?.failed === true || this.#messages?.open === true)) {
      this.#broken += 1;
    }
    return {
      kind: this.#kind,
      documents: this.#documents,
      broken: this.#broken,
      done: this.#done,
      exception: this.#exception,
      skipped: this.#skipped,
    };
  }

  /** Decides on the first byte that is neither white space nor a byte order mark; its index, or -1 when there is none yet. */
  #sniff(chunk: Buffer): number {
    if (this.#saysMessages && chunk.length > 0) {
      // the length of a message begins with a zero byte: nothing in it may be skipped as blank
      this.#kind = "eventstream";
      return 0;
    }
    for (let i = 0; i < chunk.length; i += 1) {
      const byte = chunk[i] ?? 0;
      if (byte === 0x20 || byte === 0x09 || byte === LF || byte === 0x0d) continue;
      if (this.#bom < 3 && byte === [0xef, 0xbb, 0xbf][this.#bom]) {
        this.#bom += 1;
        continue;
      }
      if (byte === 0x7b || byte === 0x5b) this.#kind = "json";
      // a comment, or the first letter of data, event, id, retry
      else if (this.#saysSse || ":deir".includes(String.fromCharCode(byte))) this.#kind = "sse";
      else this.#kind = "unknown";
      return i;
    }
    return -1;
  }

  #json(chunk: Buffer, from: number): void {
    let i = from;
    while (i < chunk.length) {
      if (this.#resync) {
        const line = chunk.indexOf(LF, i);
        if (line < 0) return;
        this.#resync = false;
        i = line + 1;
        continue;
      }
      const scanner = this.#opened();
      i = scanner.write(chunk, i, chunk.length);
      if (scanner.done) {
        this.#endDocument();
      } else if (scanner.failed) {
        this.#endDocument();
        this.#broken += 1;
        // a bad line of NDJSON costs that line; anything else cannot be trusted past the fault
        if (this.#documents === 0 && !this.#saysLines) this.#kind = "unknown";
        if (this.#kind === "unknown") return;
        this.#resync = true;
      }
    }
  }

  line(): void {
    // positions do not matter here
  }

  field(kind: SseField): void {
    if (kind !== "data") return;
    // lines of one event are joined by LF
    if (this.#dataLines > 0) this.#opened().write(NEW_LINE, 0, 1);
    this.#dataLines += 1;
  }

  data(buffer: Buffer, from: number, to: number): void {
    // nothing but `[DONE]` is of interest, and no other data is made a string of
    const maybeDone = this.#dataBytes === 0 ? buffer[from] === OPEN_BRACKET : this.#doneText !== "";
    if (maybeDone && this.#dataBytes < 6) this.#doneText += buffer.toString("latin1", from, Math.min(to, from + 6));
    this.#dataBytes += to - from;
    this.#scan(buffer, from, to);
  }

  dataEnd(): void {
    // the LF that joins it to the next line is written with that line
  }

  event(): void {
    this.#endEvent();
  }

  #endEvent(): void {
    if (this.#dataLines === 0) return;
    const result = this.#endDocument();
    if (this.#dataBytes === 6 && this.#doneText === "[DONE]") this.#done = true;
    else if (isBroken(result)) this.#broken += 1;
    this.#dataBytes = 0;
    this.#dataLines = 0;
    this.#doneText = "";
  }

  message({ headers, payload }: EventStreamMessage): void {
    const kind = headers.get(":message-type");
    if (kind === "exception" || kind === "error") {
      this.#exception ??= headers.get(":exception-type") ?? headers.get(":error-code") ?? "unknown";
      return;
    }
    const document = headers.get(":event-type") === "chunk" ? innerDocument(payload) : payload;
    this.#scan(document, 0, document.length);
    if (isBroken(this.#endDocument())) this.#broken += 1;
  }

  skipped(): void {
    this.#skipped = true;
  }

  #opened(): JsonScanner {
    this.#scanner ??= takeScanner(this.#paths, this.#sink, VALUE_CAP);
    return this.#scanner;
  }

  #scan(buffer: Buffer, from: number, to: number): void {
    const scanner = this.#opened();
    const stopped = scanner.write(buffer, from, to);
    // behind the document only white space may stand: the scanner fails on the rest
    if (stopped < to) scanner.write(buffer, stopped, to);
  }

  /** Whatever was open. */
  #endDocument(): ScanResult {
    const scanner = this.#scanner;
    if (scanner === undefined) return "empty";
    this.#scanner = undefined;
    const result = scanner.finish();
    giveBackScanner(scanner);
    if (result === "complete") {
      this.#documents += 1;
      this.#sink.document?.();
    }
    return result;
  }
}

function isBroken(result: ScanResult): boolean {
  return result === "incomplete" || result === "failed";
}

/** InvokeModel wraps each event of the model in base64; what is not wrapped is read as it is. */
function innerDocument(payload: Buffer): Buffer {
  try {
    const { bytes } = JSON.parse(payload.toString("utf8")) as { readonly bytes?: unknown };
    return typeof bytes === "string" ? Buffer.from(bytes, "base64") : payload;
  } catch {
    // the scanner says what is wrong with it
    return payload;
  }
}
