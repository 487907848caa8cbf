import { JsonScanner, type JsonSink } from "./json/scanner.ts";
import type { PathNode } from "./json/paths.ts";
import { SseParser, type SseField, type SseSink } from "./sse.ts";

const LF = 0x0a;
const NEW_LINE = Buffer.from("\n");
/** a usage object with its details is below 4 KiB; iterations may hold a few dozen entries */
const VALUE_CAP = 64 * 1024;

/** What was read of the framing, for the verdict at the end. */
export type FramingReport = {
  readonly kind: "sse" | "json" | "unknown" | "empty";
  /** JSON documents that were read to their end */
  readonly documents: number;
  /** JSON documents that could not be read, `[DONE]` not counted */
  readonly broken: number;
  /** a `data: [DONE]` came */
  readonly done: boolean;
};

/**
 * Finds out how a body is framed, from its first byte before its content type (some servers label streams as JSON and answer
 * stream calls with plain JSON), and reads every JSON document in it: SSE data, NDJSON lines, one document, one array.
 */
export class BodyFraming implements SseSink {
  readonly #scanner: JsonScanner;
  readonly #sse: SseParser;
  readonly #saysSse: boolean;
  readonly #saysLines: boolean;
  #kind: FramingReport["kind"] = "empty";
  #bom = 0;
  #documents = 0;
  #broken = 0;
  #done = false;
  #dataBytes = 0;
  #dataLines = 0;
  #doneText = "";
  #resync = false;

  constructor(paths: PathNode, sink: JsonSink, contentType: string | undefined) {
    this.#scanner = new JsonScanner(paths, sink, VALUE_CAP);
    this.#sse = new SseParser(this);
    const type = (contentType ?? "").toLowerCase();
    this.#saysSse = type.includes("event-stream");
    this.#saysLines = type.includes("ndjson") || type.includes("jsonl") || type.includes("json-seq") || type.includes("stream+json");
  }

  write(chunk: Buffer): void {
    const from = this.#kind === "empty" ? this.#sniff(chunk) : 0;
    // blank bytes before the first one that tells are no loss to any framing
    if (from >= 0) this.#dispatch(this.#kind, chunk, from);
  }

  #dispatch(kind: FramingReport["kind"], chunk: Buffer, from: number): void {
    if (kind === "sse") this.#sse.write(from === 0 ? chunk : chunk.subarray(from));
    else if (kind === "json") this.#json(chunk, from);
  }

  end(): FramingReport {
    if (this.#kind === "sse") {
      // an event without its blank line counts: the connection's end ended it
      this.#endEvent();
    } else if (this.#kind === "json") {
      const result = this.#scanner.finish();
      if (result === "complete") this.#documents += 1;
      else if (result !== "empty") this.#broken += 1;
    }
    return { kind: this.#kind, documents: this.#documents, broken: this.#broken, done: this.#done };
  }

  /** Decides on the first byte that is neither white space nor a byte order mark; its index, or -1 when there is none yet. */
  #sniff(chunk: Buffer): number {
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
        this.#scanner.reset();
        i = line + 1;
        continue;
      }
      i = this.#scanner.write(chunk, i, chunk.length);
      if (this.#scanner.done) {
        this.#documents += 1;
        this.#scanner.reset();
      } else if (this.#scanner.failed) {
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
    if (this.#dataLines > 0) this.#scanner.write(NEW_LINE, 0, 1);
    this.#dataLines += 1;
  }

  data(buffer: Buffer, from: number, to: number): void {
    if (this.#dataBytes < 6) this.#doneText += buffer.toString("latin1", from, Math.min(to, from + 6));
    this.#dataBytes += to - from;
    const stopped = this.#scanner.write(buffer, from, to);
    if (stopped < to) this.#scanner.write(buffer, stopped, to);
  }

  dataEnd(): void {
    // the LF that joins it to the next line is written with that line
  }

  event(): void {
    this.#endEvent();
  }

  #endEvent(): void {
    if (this.#dataLines === 0) return;
    const result = this.#scanner.finish();
    if (result === "complete") this.#documents += 1;
    else if (this.#dataBytes === 6 && this.#doneText === "[DONE]") this.#done = true;
    else if (result !== "empty") this.#broken += 1;
    this.#scanner.reset();
    this.#dataBytes = 0;
    this.#dataLines = 0;
    this.#doneText = "";
  }
}
