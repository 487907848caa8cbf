import type { CallOutcome } from "../schema/provider.ts";
import type { Usage } from "../schema/usage.ts";
import { BodyFraming, type FramingReport } from "./body-framing.ts";
import { asBuffer, createBodyDecoder, TAP_LIMITS, type BodyDecoder } from "./decode/body-decoder.ts";
import { parseContentEncoding } from "./decode/coding.ts";
import type { DecodeEnd } from "./decode/decoder.ts";
import type { JsonSink } from "./json/scanner.ts";
import type { BodyHeaders } from "./request-reader.ts";
import { usageOf } from "./shapes/fields.ts";
import { shapeFor } from "./shapes/registry.ts";
import type { ReaderResult, ResponseReader } from "./shapes/shape.ts";
import type { Recognition, ResponseFacts, ResponseTap } from "./types.ts";

export type ResponseHead = {
  readonly status: number;
  readonly headers: BodyHeaders;
  /** bytes of the request body: when given, an estimate covers the input too */
  readonly requestBytes?: number;
  /** any header by its lower-case name; some answers have their counts there */
  readonly header?: (name: string) => string | undefined;
};

/** bytes of text that one token stands for, on average over English and code; only for estimates that are marked as such */
const BYTES_PER_TOKEN = 4;

/** Reads usage, model and outcome out of a response body as it passes; bounded memory, never throws, never delays. */
export function createResponseTap(recognition: Recognition, head: ResponseHead): ResponseTap {
  return new ShapeTap(recognition, head);
}

/** media types of answers that are no JSON by design */
const NO_PLACE = /^\s*(?:audio|video|image)\/|^\s*text\/(?:plain|vtt|srt)|^\s*application\/(?:x-subrip|octet-stream)/i;

const NO_CALLS: readonly ResponseFacts[] = [];

type How = "complete" | "aborted" | "error";

class ShapeTap implements ResponseTap, JsonSink {
  readonly #recognition: Recognition;
  readonly #head: ResponseHead;
  readonly #reader: ResponseReader;
  readonly #framing: BodyFraming;
  /** `plain`: there is nothing to undo; null: it is not read */
  readonly #decoder: BodyDecoder | "plain" | null;
  #textBytes = 0;
  #usageDropped = false;
  /** a fault of ours while reading; the body passes on */
  #faulted = false;

  constructor(recognition: Recognition, head: ResponseHead) {
    const shape = shapeFor(recognition.shape);
    this.#recognition = recognition;
    this.#head = head;
    this.#reader = shape.read({ provider: recognition.provider, operation: recognition.operation, header: head.header });
    this.#framing = new BodyFraming(shape.response, this, head.headers.contentType);
    this.#decoder = this.#isRead() ? this.#decoderOf(head.headers.contentEncoding) : null;
  }

  write(chunk: Uint8Array): void {
    if (this.#decoder === "plain") this.#read(asBuffer(chunk));
    else this.#decoder?.write(asBuffer(chunk));
  }

  take(): readonly ResponseFacts[] {
    return this.#reader.take?.() ?? NO_CALLS;
  }

  async end(how: How): Promise<ResponseFacts> {
    const decoded = this.#decoder === null || this.#decoder === "plain" ? "complete" : await this.#decoder.end();
    const framing = this.#framing.end();
    const result = this.#reader.result();
    const over = how === "complete" || this.#isOver(result, framing);
    const outcome = this.#outcome(how, over, result, framing);
    return {
      ...this.#usage(over, result, framing, decoded),
      responseModel: result.responseModel,
      responseId: this.#recognition.responseId ?? result.responseId,
      serviceTier: result.serviceTier,
      outcome,
    };
  }

  /** An error's body has no usage that counts (its tokens were not billed), and what does not count need not be read. */
  #isRead(): boolean {
    return this.#head.status < 300 && this.#recognition.billable;
  }

  /** Most streams are plain: what undoes nothing would be more objects to fetch from memory for every event. */
  #decoderOf(contentEncoding: string | undefined): BodyDecoder | "plain" | null {
    if (parseContentEncoding(contentEncoding)?.length === 0) return "plain";
    return createBodyDecoder(contentEncoding, TAP_LIMITS, (chunk) => this.#read(chunk));
  }

  #read(chunk: Buffer): void {
    if (this.#faulted) return;
    try {
      this.#framing.write(chunk);
    } catch {
      // the bytes are the client's whatever we make of them: a fault here costs the figures (`unparsable`), never the stream
      this.#faulted = true;
    }
  }

  /** Clients hang up as soon as they have the last event: such a call was served in full, however its connection ended. */
  #isOver(result: ReaderResult, framing: FramingReport): boolean {
    const isStream = isEvents(framing) || this.#recognition.streaming === true;
    return framing.done || (result.final && (isStream || framing.documents > 0));
  }

  #outcome(how: How, over: boolean, result: ReaderResult, framing: FramingReport): CallOutcome {
    const status = this.#head.status;
    if (status === 429) return "rate_limited";
    if (status >= 500) return "server_error";
    if (status >= 300) return "client_error";
    if (framing.exception !== null) return /throttl/i.test(framing.exception) ? "rate_limited" : "stream_error";
    if (result.failed) return isEvents(framing) || framing.documents > 1 ? "stream_error" : "server_error";
    if (over) return "ok";
    return how === "aborted" ? "aborted" : "stream_error";
  }

  #usage(
    over: boolean,
    result: ReaderResult,
    framing: FramingReport,
    decoded: DecodeEnd,
  ): Pick<ResponseFacts, "usage" | "source" | "missing"> {
    if (!this.#isRead()) return { usage: null, source: "none", missing: null };
    if (result.usage !== null) {
      if (over && !result.outputIsPlaceholder) return { usage: result.usage, source: "reported", missing: null };
      return { usage: this.#completed(result), source: "partial", missing: null };
    }
    if (result.pending) return { usage: null, source: "none", missing: null };
    const missing = this.#missing(over, framing, decoded);
    const isStream = isEvents(framing) || framing.documents > 1 || this.#recognition.streaming === true;
    if (!isStream || this.#textBytes === 0) return { usage: null, source: "none", missing };
    return { usage: usageOf({ input: this.#estimatedInput(), output: this.#estimatedOutput() }), source: "estimated", missing };
  }

  /** Usage of a call that broke off: what the provider said, its placeholder for the output replaced by the better guess. */
  #completed(result: ReaderResult): Usage | null {
    const usage = result.usage;
    if (usage === null || !result.outputIsPlaceholder) return usage;
    const output = Math.max(usage.output ?? 0, this.#estimatedOutput());
    return usageOf({ ...usage, output, total: null });
  }

  #missing(over: boolean, framing: FramingReport, decoded: DecodeEnd): string {
    if (this.#decoder === null || decoded === "broken") return "encoding";
    if (decoded === "queue_full" || decoded === "too_large" || this.#usageDropped || framing.skipped) return "tap_overflow";
    if (!over || framing.exception !== null) return "aborted";
    // subtitles, plain text, sound: there is no place for usage in them
    if (framing.kind === "unknown" && NO_PLACE.test(this.#head.headers.contentType ?? "")) return "not_sent";
    const isUnread = framing.broken > 0 && (framing.documents === 0 || framing.kind === "eventstream");
    if (this.#faulted || framing.kind === "unknown" || isUnread) return "unparsable";
    return "not_sent";
  }

  #estimatedOutput(): number {
    return Math.ceil(this.#textBytes / BYTES_PER_TOKEN);
  }

  #estimatedInput(): number | null {
    const bytes = this.#head.requestBytes;
    return bytes === undefined ? null : Math.ceil(bytes / BYTES_PER_TOKEN);
  }

  wants(slot: string): boolean {
    return this.#reader.wants(slot);
  }

  value(slot: string, value: unknown): void {
    this.#reader.value(slot, value);
  }

  dropped(slot: string): void {
    if (slot === "usage" || slot === "start") this.#usageDropped = true;
    this.#reader.dropped(slot);
  }

  text(_slot: string, bytes: number): void {
    this.#textBytes += bytes;
  }

  enter(slot: string): void {
    this.#reader.enter?.(slot);
  }

  document(): void {
    this.#reader.document?.();
  }

  variant(): void {
    // responses are the provider's own: nothing to suspect
  }

  other(): void {
    // no shape asks for it
  }
}

function isEvents(framing: FramingReport): boolean {
  return framing.kind === "sse" || framing.kind === "eventstream";
}
