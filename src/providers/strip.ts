import { asBuffer } from "./decode/body-decoder.ts";
import { compilePaths, type PathSpec } from "./json/paths.ts";
import { JsonScanner, type JsonSink } from "./json/scanner.ts";
import { SseParser, type SseField, type SseSink } from "./sse.ts";

/** Drops the usage-only event that an injection caused from an SSE byte stream; everything else passes at once, byte for byte. */
export interface UsageStripper {
  /** the bytes to forward now, in order */
  transform(chunk: Uint8Array): readonly Uint8Array[];
  /** at the end of the body: the bytes still held */
  flush(): readonly Uint8Array[];
}

/** For an identity-coded `text/event-stream` response to a request that `planUsageInjection` changed. */
export function createUsageStripper(): UsageStripper {
  return new Stripper();
}

/** Keys that say nothing of their own: an event that has others carries a payload (Azure's prompt_filter_results, error, moderation). */
const ENVELOPE = ["id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation", "provider"];
const PATHS = compilePaths(
  [
    ...ENVELOPE.map((path): PathSpec => ({ path, slot: "envelope", action: "enter" })),
    { path: "usage", slot: "usage", action: "enter" },
    { path: "choices", slot: "choices", action: "enter" },
    { path: "choices.*", slot: "choice", action: "enter" },
  ],
  { reportsOthers: true },
);
const BRACE = 0x7b;
const BRACKET = 0x5b;
const NEW_LINE = Buffer.from("\n");
/** a usage chunk is below 2 KiB; what grows past this is none */
const HELD_MAX = 64 * 1024;

/**
 * An event is held only while it can still be the usage chunk: until its first choice, its first payload key or its first odd
 * field, that is a hundred bytes into an ordinary delta. A client cannot use an event before its blank line anyway.
 */
class Stripper implements UsageStripper, SseSink, JsonSink {
  readonly #parser = new SseParser(this);
  readonly #scanner = new JsonScanner(PATHS, this, HELD_MAX);
  /** bytes of the open event from earlier chunks */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** in this chunk: everything before this index has been given out, dropped or held */
  #from = 0;
  /** in this chunk: where the open event began (0 when it began earlier) */
  #eventFrom = 0;
  #open = false;
  #mayBeUsage = true;
  #lines = 0;
  #dataLines = 0;
  #hasUsage = false;
  #hasChoices = false;
  #dropLf = false;
  #chunk: Buffer = Buffer.alloc(0);
  #out: Uint8Array[] = [];

  transform(chunk: Uint8Array): readonly Uint8Array[] {
    this.#chunk = asBuffer(chunk);
    this.#out = [];
    this.#from = 0;
    this.#eventFrom = 0;
    if (this.#dropLf && chunk.length > 0) {
      this.#dropLf = false;
      // the LF of the CRLF that ended a dropped event
      if (chunk[0] === 0x0a) this.#from = 1;
    }
    this.#parser.write(this.#chunk);
    const end = this.#chunk.length;
    if (this.#open && this.#mayBeUsage && this.#heldBytes + end - this.#eventFrom > HELD_MAX) this.#pass();
    if (this.#open && this.#mayBeUsage) {
      const from = Math.max(this.#eventFrom, this.#from);
      this.#give(from);
      if (end > from) this.#held.push(this.#chunk.subarray(from));
      this.#heldBytes += end - from;
    } else {
      this.#give(end);
    }
    return this.#out;
  }

  flush(): readonly Uint8Array[] {
    // the connection's end ends the last event, with or without its blank line
    const held = this.#open && this.#mayBeUsage && this.#isUsageOnly() ? [] : this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    return held;
  }

  line(start: number): void {
    this.#lines += 1;
    if (this.#open) return;
    this.#open = true;
    this.#eventFrom = start;
    this.#mayBeUsage = true;
    this.#lines = 1;
    this.#dataLines = 0;
    this.#hasUsage = false;
    this.#hasChoices = false;
    this.#scanner.reset();
  }

  field(kind: SseField): void {
    if (kind === "comment" && this.#lines === 1) {
      // a comment before the event's first field is a keep-alive of its own; its kind shows at its first byte, so nothing is held
      this.#open = false;
    } else if (kind === "data") {
      if (this.#dataLines > 0) this.#scanner.write(NEW_LINE, 0, 1);
      this.#dataLines += 1;
    } else if (kind !== "event") {
      this.#pass();
    }
  }

  data(buffer: Buffer, from: number, to: number): void {
    if (!this.#mayBeUsage) return;
    const stopped = this.#scanner.write(buffer, from, to);
    if (stopped < to) this.#scanner.write(buffer, stopped, to);
    if (this.#scanner.failed) this.#pass();
  }

  dataEnd(): void {
    // the event's blank line decides
  }

  event(end: number): void {
    if (this.#open && this.#mayBeUsage && this.#isUsageOnly()) {
      this.#give(this.#eventFrom);
      this.#from = end;
      this.#dropLf = this.#parser.afterCr;
      this.#held = [];
      this.#heldBytes = 0;
    } else if (this.#held.length > 0) {
      this.#pass();
    }
    this.#open = false;
  }

  /** The open event is an ordinary one: what was held of it goes out. */
  #pass(): void {
    this.#mayBeUsage = false;
    this.#scanner.abandon();
    this.#out.push(...this.#held);
    this.#held = [];
    this.#heldBytes = 0;
  }

  #give(to: number): void {
    if (to > this.#from) {
      this.#out.push(this.#from === 0 && to === this.#chunk.length ? this.#chunk : this.#chunk.subarray(this.#from, to));
    }
    this.#from = Math.max(this.#from, to);
  }

  #isUsageOnly(): boolean {
    return this.#dataLines > 0 && this.#scanner.finish() === "complete" && this.#hasUsage && this.#hasChoices;
  }

  wants(): boolean {
    return false;
  }

  value(): void {
    // no path asks for values
  }

  dropped(): void {
    // no path asks for values
  }

  enter(slot: string, first: number): void {
    if (slot === "usage" && first === BRACE) this.#hasUsage = true;
    else if (slot === "choices" && first === BRACKET) this.#hasChoices = true;
    else if (slot !== "envelope") this.#pass();
  }

  other(): void {
    this.#pass();
  }

  variant(): void {
    this.#pass();
  }

  text(): void {
    // no path asks for text
  }
}
