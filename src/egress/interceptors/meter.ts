import type { Readable } from "node:stream";
import { messageOf } from "../../base/error.ts";
import { decodeBody } from "../../providers/decode/body-decoder.ts";
import { planUsageInjection } from "../../providers/inject.ts";
import { createRequestReader } from "../../providers/request-reader.ts";
import { withRequestUnits } from "../../providers/request-units.ts";
import { createResponseTap } from "../../providers/response-tap.ts";
import { createUsageStripper, type UsageStripper } from "../../providers/strip.ts";
import type { Recognition, RequestFacts, RequestReader, ResponseFacts, ResponseTap } from "../../providers/types.ts";
import { responseFactsOf } from "../../providers/websocket/call-facts.ts";
import { isOneCall } from "../../providers/websocket/frame-tap.ts";
import type { Exchange, Interceptor, Next, RequestBody, ResponseFilter } from "../exchange/exchange.ts";
import { headerOf, withoutHeader } from "../exchange/headers.ts";
import { PassingBody, takeBody } from "../exchange/request-body.ts";
import type { Runtime } from "../runtime.ts";
import { CallAdmission } from "./admission.ts";
import { reportCall } from "./call-record.ts";
import { countInnerCall } from "./inner-call.ts";
import { SocketMeter } from "./socket-meter.ts";

const NO_FACTS: RequestFacts = {
  model: null,
  streaming: false,
  includeUsage: null,
  maxOutputTokens: null,
  choices: null,
  serviceTier: null,
  ambiguous: false,
  unparsable: false,
};

/** Reads model and usage of model calls off the passing bytes. What it cannot read it leaves unknown; the bytes pass all the same. */
export function meterInterceptor(runtime: Runtime): Interceptor {
  return (next) => (exchange) => {
    const { recognition } = exchange;
    if (recognition === undefined) return next(exchange);
    return exchange.isUpgrade ? meterSocket(runtime, exchange, recognition, next) : meterCall(runtime, exchange, recognition, next);
  };
}

async function meterCall(runtime: Runtime, exchange: Exchange, recognition: Recognition, next: Next): Promise<void> {
  const sandbox = exchange.generation.egress.name;
  const meter = new CallMeter(runtime, exchange, recognition);
  runtime.metrics.llmStarted(sandbox);
  try {
    if ((await meter.takeRequest()) === "gone") {
      exchange.end = "aborted";
      return;
    }
    if (runtime.gate.isActive && !(await meter.admit())) return;
    exchange.filters.push(meter);
    await next(exchange);
  } finally {
    await meter.finish();
    runtime.metrics.llmEnded(sandbox);
  }
}

function mayInject(runtime: Runtime, recognition: Recognition): boolean {
  return recognition.injectUsage && runtime.includeUsage !== "off";
}

/** Bytes of a request's body that metering wants to hold; what need not be changed is not held. */
export function heldForMetering(runtime: Runtime, recognition: Recognition | undefined): number {
  if (recognition === undefined) return 0;
  return mayInject(runtime, recognition) || runtime.gate.isActive ? runtime.limits.inspectBytes : 0;
}

/** A handshake: the calls are in the frames behind it, and each is judged, recorded and settled by itself. */
async function meterSocket(runtime: Runtime, exchange: Exchange, recognition: Recognition, next: Next): Promise<void> {
  const admission = new CallAdmission(runtime, exchange);
  // what is in the frames of a socket at a path that nobody knows cannot be told apart
  const isUnknown = recognition.webSocket === undefined;
  const isSession = isUnknown || isOneCall(recognition);
  // the model that the handshake names is judged now, what is asked for later then
  const facts = { ...NO_FACTS, model: recognition.model ?? null };
  const isJudged = runtime.gate.isActive && (isSession || facts.model !== null);
  if (isJudged && !(await admission.admit(runtime.gate, recognition, facts, isSession ? "session" : "name"))) {
    reportCall(runtime, exchange, recognition, undefined, undefined);
    return;
  }
  const meter = new SocketMeter(runtime, exchange, recognition);
  exchange.socketFilters.push(meter);
  try {
    await next(exchange);
  } finally {
    // a handshake that failed is a call that failed; one that did not is none
    const failed =
      exchange.status === 101 && !isUnknown
        ? undefined
        : reportCall(runtime, exchange, recognition, facts, answeredHandshake(exchange.status));
    admission.settle(failed ?? meter.session?.event, meter.session?.response);
  }
}

/** What an upstream's answer to a handshake says by itself; nothing when there is no answer. */
function answeredHandshake(status: number | null): ResponseFacts | undefined {
  if (status === null) return undefined;
  if (status === 101) return responseFactsOf(null, { missing: "not_sent", outcome: "ok" });
  const outcome = status === 429 ? "rate_limited" : status >= 500 ? "server_error" : "client_error";
  return responseFactsOf(null, { missing: null, outcome });
}

/** One model call: the request's reader, the response's tap, and the stripper where usage was asked for on the client's behalf. */
class CallMeter implements ResponseFilter {
  readonly #runtime: Runtime;
  readonly #exchange: Exchange;
  readonly #recognition: Recognition;
  readonly #reader: RequestReader;
  readonly #admission: CallAdmission;
  #facts: RequestFacts | undefined;
  #injected = false;
  #innerCalls = 0;
  #tap: ResponseTap | undefined;
  #stripper: UsageStripper | undefined;

  constructor(runtime: Runtime, exchange: Exchange, recognition: Recognition) {
    this.#runtime = runtime;
    this.#exchange = exchange;
    this.#recognition = recognition;
    this.#admission = new CallAdmission(runtime, exchange);
    const { contentType, contentEncoding } = exchange.request;
    this.#reader = createRequestReader(recognition, { contentType, contentEncoding });
  }

  /** Sets the body that goes upstream; `gone` when the client left while it was being held. */
  async takeRequest(): Promise<"ready" | "gone"> {
    const exchange = this.#exchange;
    const { source } = exchange.downstream;
    const write = (chunk: Uint8Array): void => {
      exchange.bytesOut += chunk.length;
      this.#safely(() => this.#reader.write(chunk));
    };
    if (source === null) {
      exchange.body = { kind: "none" };
      return "ready";
    }
    const limit = heldForMetering(this.#runtime, this.#recognition);
    const body = exchange.body === undefined ? await this.#take(source, limit, write) : this.#takeOver(exchange.body);
    if (body === "gone") return "gone";
    exchange.body = body;
    if (mayInject(this.#runtime, this.#recognition) && body.kind === "bytes") await this.#inject(body.bytes);
    return "ready";
  }

  #take(source: Readable, limit: number, write: (chunk: Uint8Array) => void): Promise<RequestBody | "gone"> {
    const { request, downstream } = this.#exchange;
    if (request.expectsContinue) downstream.proceed();
    const mayHold = (bytes: number): boolean => this.#exchange.holding.takeBytes(bytes);
    return takeBody(source, request.contentLength, { holdBytes: limit }, { onChunk: write, mayHold });
  }

  /** Somebody looked into the body before: its bytes are counted already. */
  #takeOver(body: RequestBody): RequestBody {
    const read = (chunk: Uint8Array): void => this.#safely(() => this.#reader.write(chunk));
    if (body.kind === "bytes") read(body.bytes);
    if (body.kind === "stream" && body.stream instanceof PassingBody) body.stream.watch(read);
    return body;
  }

  /** False: models or budgets do not permit the call, and it was refused. */
  async admit(): Promise<boolean> {
    // the facts of a body that is still coming are not known; that it is too large to be held is what it is judged by
    const facts = this.#exchange.body?.kind === "stream" ? NO_FACTS : await this.#readFacts();
    return this.#admission.admit(this.#runtime.gate, this.#recognition, facts);
  }

  async #inject(bytes: Buffer): Promise<void> {
    const exchange = this.#exchange;
    const facts = await this.#readFacts();
    if (!facts.streaming || facts.includeUsage === true || facts.unparsable) return;
    try {
      const { contentEncoding } = exchange.request;
      const plain = contentEncoding === undefined ? bytes : await decodeBody(bytes, contentEncoding, this.#runtime.limits.inspectBytes);
      const plan = plain === null ? null : planUsageInjection(this.#recognition, facts, plain);
      // what was sent compressed may have become much more
      if (plan === null || !exchange.holding.takeBytes(plan.body.length)) return;
      exchange.body = { kind: "bytes", bytes: plan.body };
      let headers = exchange.headers;
      // the body changed: its digest and coding no longer hold, and stripping needs an answer that is not compressed
      for (const name of ["content-encoding", "content-md5", "digest", "content-digest", "repr-digest", "accept-encoding"]) {
        headers = withoutHeader(headers, name);
      }
      headers.push("accept-encoding", "identity");
      exchange.headers = headers;
      this.#injected = this.#runtime.includeUsage === "inject_strip";
    } catch (error) {
      this.#runtime.log.warn("usage could not be asked for", { request_id: exchange.id, error: messageOf(error) });
    }
  }

  head(status: number, headers: readonly string[]): readonly string[] {
    const contentType = headerOf(headers, "content-type");
    const contentEncoding = headerOf(headers, "content-encoding");
    this.#safely(() => {
      this.#tap = createResponseTap(this.#recognition, {
        status,
        headers: { contentType, contentEncoding },
        header: (name) => headerOf(headers, name),
      });
    });
    const plain = contentEncoding === undefined || contentEncoding.toLowerCase() === "identity";
    if (!this.#injected || !plain || !/^\s*text\/event-stream/i.test(contentType ?? "")) return headers;
    this.#stripper = createUsageStripper();
    return withoutHeader(headers, "content-length");
  }

  chunk(chunk: Uint8Array): readonly Uint8Array[] {
    const tap = this.#tap;
    const now = this.#runtime.clock.monotonic();
    const times = (this.#exchange.answerChunks ??= { firstAt: now, lastAt: now, count: 0 });
    times.lastAt = now;
    times.count += 1;
    if (tap !== undefined) {
      // no function for each event, as #safely would want
      try {
        tap.write(chunk);
      } catch (error) {
        this.#warn(error);
      }
      this.#countInner(tap);
    }
    if (this.#stripper === undefined) return [chunk];
    return this.#stripper.transform(chunk);
  }

  #countInner(tap: ResponseTap): void {
    for (const call of tap.take()) {
      this.#innerCalls += 1;
      countInnerCall(this.#runtime, this.#exchange, this.#recognition, call, this.#innerCalls);
    }
  }

  flush(): readonly Uint8Array[] {
    return this.#stripper?.flush() ?? [];
  }

  /** Reports the call, once, after the exchange. */
  async finish(): Promise<void> {
    const exchange = this.#exchange;
    const facts = this.#facts ?? (await this.#readFacts());
    let response: ResponseFacts | undefined;
    try {
      const how =
        exchange.end === "complete" || exchange.wasDrained === true ? "complete" : exchange.end === "aborted" ? "aborted" : "error";
      response = await this.#tap?.end(how);
      if (this.#tap !== undefined) this.#countInner(this.#tap);
      if (response !== undefined) response = withRequestUnits(this.#recognition, facts, response);
    } catch (error) {
      this.#runtime.log.warn("usage could not be read", { request_id: exchange.id, error: messageOf(error) });
    }
    let event: ReturnType<typeof reportCall> | undefined;
    try {
      event = reportCall(this.#runtime, exchange, this.#recognition, facts, response);
    } finally {
      this.#admission.settle(event, response);
    }
  }

  async #readFacts(): Promise<RequestFacts> {
    if (this.#facts === undefined) {
      try {
        this.#facts = await this.#reader.end();
      } catch (error) {
        this.#runtime.log.warn("the request could not be read", { request_id: this.#exchange.id, error: messageOf(error) });
        this.#facts = NO_FACTS;
      }
    }
    return this.#facts;
  }

  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#warn(error);
    }
  }

  #warn(error: unknown): void {
    this.#runtime.log.warn("metering failed on a chunk", { request_id: this.#exchange.id, error: messageOf(error) });
  }
}
