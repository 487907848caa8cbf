import type { Duplex } from "node:stream";
import { isStillOpen } from "../accept/review.ts";
import { background } from "../../base/background.ts";
import { AppError, errnoOf, messageOf } from "../../base/error.ts";
import { asBuffer } from "../../providers/decode/body-decoder.ts";
import type { Exchange, ExchangeEnd, Next } from "../exchange/exchange.ts";
import type { HeaderList } from "../exchange/header-list.ts";
import { filterTrailers, readResponseHead } from "../exchange/headers.ts";
import { refuse } from "../exchange/refusal.ts";
import { takeRequestBody } from "../exchange/request-body.ts";
import { sentBody } from "../exchange/sent-body.ts";
import type { Runtime } from "../runtime.ts";
import { AddressDenied, isCertificateError } from "../upstream/dial.ts";
import { dispatch, type ResponseSink, type Transfer } from "../upstream/dispatch.ts";
import type { Origin } from "../upstream/origin.ts";
import type { UpstreamConnection } from "../upstream/pool.ts";
import { type Sieve, Upgraded } from "../upstream/upgraded.ts";
import { refusePolicy } from "./policy.ts";
import { ResponseBody } from "./response-body.ts";
import { isStillAllowed, keysHold } from "./still-allowed.ts";

/** Last in the path: sends the request, relays the response as it comes. Resolves when both sides are done with it. */
export function forward(runtime: Runtime): Next {
  return (exchange) => new Relay(runtime, exchange).run();
}

/** Interim responses that a client is given; servers send one or two, and nothing holds up who sends more. */
const MAX_INTERIM = 32;

const NO_DESCRIPTOR = "agentkernel has no file descriptor left for another connection; ulimit -n of its process is what it may have";

/** An exchange that goes on without its client, and that others wait for, may take so many times as long as a connection. */
const READ_TO_END = 3;

class Relay implements ResponseSink {
  readonly #runtime: Runtime;
  readonly #exchange: Exchange;
  readonly #body: ResponseBody;
  readonly #done = Promise.withResolvers<void>();
  #connection: UpstreamConnection | undefined;
  #transfer: Transfer | undefined;
  #retried = false;
  #interim = 0;
  /** the client left, and the answer is read on: ends that */
  #drained: (() => void) | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #over = false;

  constructor(runtime: Runtime, exchange: Exchange) {
    this.#runtime = runtime;
    this.#exchange = exchange;
    this.#body = new ResponseBody({
      exchange,
      onFlowing: () => this.#transfer?.resume(),
      onBroken: (error) => {
        this.#transfer?.abort();
        this.#failed(error);
      },
    });
  }

  async run(): Promise<void> {
    const exchange = this.#exchange;
    const { origin, downstream } = exchange;
    if (origin === undefined) throw new Error("forwarding comes after policy");
    downstream.onGone(() => this.#gone());
    downstream.onDrain(() => {
      this.#body.resume();
      this.#transfer?.resume();
    });
    // a function that is written where it is assigned to a property, V8 makes old at once: dead, it would keep the whole exchange until
    // the next full collection
    const abort = (): void => {
      exchange.errorCode = "POLICY_DENIED";
      downstream.reset();
      if (exchange.isReadToEnd === true) this.#gone();
      else this.#abort("aborted");
    };
    exchange.abort = abort;
    if (exchange.body === undefined && (await takeRequestBody(exchange)) === "gone") {
      this.#abort("aborted");
      return;
    }
    if (!isStillAllowed(this.#runtime, exchange)) {
      refusePolicy(exchange);
      return this.#finish(undefined);
    }
    if (exchange.isReadToEnd === true) {
      exchange.connection.attachment.completing(this.#done.promise);
      const ms = READ_TO_END * this.#runtime.limits.connectTimeoutMs;
      this.#deadline = setTimeout(() => this.#late(ms), ms);
    }
    const idle = exchange.generation.pool.take(exchange.origin ?? origin);
    if (idle !== undefined) this.#send(idle);
    else await this.#open(exchange.origin ?? origin);
    await this.#done.promise;
  }

  async #open(origin: Origin): Promise<void> {
    try {
      const connection = await this.#exchange.generation.pool.open(origin);
      if (this.#over) this.#exchange.generation.pool.release(connection);
      else if (this.#mayUse(connection)) this.#send(connection);
      else {
        this.#exchange.generation.pool.discard(connection);
        this.#exchange.abort?.("the policy changed");
      }
    } catch (error) {
      if (!this.#over) this.#failed(error);
    }
  }

  /** The policy may have changed while the connection was being opened; what it denies was ended then, and the address is judged now. */
  #mayUse({ origin, address }: UpstreamConnection): boolean {
    const { connection, generation, target } = this.#exchange;
    const now = connection.attachment.generation;
    if (now === generation || target === undefined) return true;
    return keysHold(this.#exchange, now) && isStillOpen(this.#runtime, now, target, { origin, address });
  }

  #send(connection: UpstreamConnection): void {
    const exchange = this.#exchange;
    const { body, target } = exchange;
    if (body === undefined || target === undefined) throw new Error("a request is sent after it was read");
    this.#connection = connection;
    exchange.address = connection.address;
    exchange.addressClass = connection.addressClass;
    exchange.sentAt ??= this.#runtime.clock.monotonic();
    const { content, length } = sentBody(body);
    const headers = length === null ? exchange.headers : [...exchange.headers, "content-length", String(length)];
    this.#transfer = dispatch(
      connection,
      {
        method: exchange.method,
        path: `${target.path}${exchange.sentQuery ?? target.query}`,
        headers,
        body: content,
        ...(exchange.isUpgrade ? { upgrade: "websocket" } : {}),
      },
      this,
    );
  }

  onInfo(status: number, headers: HeaderList): void {
    this.#interim += 1;
    // undici takes 099 for one, and no client does
    if (!this.#over && this.#drained === undefined && this.#interim <= MAX_INTERIM && status >= 100)
      this.#exchange.downstream.inform(status, this.#fields(readResponseHead(headers).headers));
  }

  onHead(status: number, statusText: string, raw: HeaderList): void {
    if (this.#over) return;
    const exchange = this.#exchange;
    exchange.headAt = this.#runtime.clock.monotonic();
    exchange.status = status;
    let { headers } = readResponseHead(raw);
    for (const filter of exchange.filters) headers = filter.head?.(status, headers) ?? headers;
    const text = exchange.filters.reduce((phrase, filter) => filter.text?.(phrase) ?? phrase, statusText);
    if (this.#drained === undefined) exchange.downstream.head(status, text, headers);
    this.#body.open();
  }

  onChunk(chunk: Buffer): boolean {
    if (this.#over) return true;
    this.#exchange.firstByteAt ??= this.#runtime.clock.monotonic();
    return this.#body.write(chunk);
  }

  onEnd(trailers: HeaderList): void {
    if (this.#over) return;
    const exchange = this.#exchange;
    const connection = this.#connection;
    // it may belong to another exchange from now on
    this.#connection = undefined;
    this.#transfer = undefined;
    // undici closes a connection that must not be used again right after this call
    queueMicrotask(() => {
      if (connection !== undefined) exchange.generation.pool.release(connection);
    });
    this.#body.end(() => {
      if (this.#over) return;
      if (this.#drained === undefined) exchange.downstream.end(this.#fields(filterTrailers(trailers)));
      else exchange.wasDrained = true;
      this.#finish(this.#drained === undefined ? "complete" : "aborted");
    });
  }

  onError(error: Error, answered: boolean): void {
    if (this.#over) return;
    const exchange = this.#exchange;
    const connection = this.#connection;
    if (connection !== undefined) exchange.generation.pool.discard(connection);
    // a kept connection that dies without one byte of answer was closing when we took it; a body that is gone cannot be sent again
    const mayRetry = !answered && !this.#retried && connection?.reused === true && exchange.body?.kind !== "stream";
    if (mayRetry && exchange.origin !== undefined) {
      this.#retried = true;
      this.#runtime.metrics.upstreamRetry("stale_connection");
      background("a second attempt", this.#open(exchange.origin), this.#runtime.log);
      return;
    }
    this.#failed(error);
  }

  onUpgrade(status: number, raw: HeaderList, socket: Duplex): void {
    const exchange = this.#exchange;
    const { downstream } = exchange;
    if (this.#over || downstream.switchProtocols === undefined) {
      socket.destroy();
      return;
    }
    exchange.status = status;
    exchange.headAt = this.#runtime.clock.monotonic();
    const { headers } = readResponseHead(raw);
    const client = downstream.switchProtocols(status, this.#fields(headers));
    const upgraded = new Upgraded(client, socket);
    const back = incoming(exchange);
    for (const [at, filter] of exchange.socketFilters.entries())
      filter.opened?.(headers, (last, rest) => upgraded.cut([...(rest === undefined ? [] : back.after(at, rest)), ...last]));
    upgraded.start(outgoing(exchange), back);
    const over = upgraded.closed.then((first) => {
      for (const filter of exchange.socketFilters) filter.closed?.(first);
      this.#finish("complete");
    });
    background("an upgraded connection", over, this.#runtime.log);
  }

  #fields(headers: HeaderList): HeaderList {
    return this.#exchange.filters.reduce((fields, filter) => filter.fields?.(fields) ?? fields, headers);
  }

  #failed(error: unknown): void {
    const exchange = this.#exchange;
    if (this.#drained !== undefined) return this.#finish("aborted");
    const { target, downstream } = exchange;
    // what was found in the body as it passed
    if (exchange.decision?.verdict === "deny") {
      refusePolicy(exchange);
      return this.#finish(undefined);
    }
    if (error instanceof AddressDenied) {
      exchange.decision = error.decision;
      exchange.address = error.address;
      exchange.addressClass = error.decision.address;
      refusePolicy(exchange);
      return this.#finish(undefined);
    }
    const cause = error instanceof AppError && error.cause !== undefined ? error.cause : error;
    const timedOut = error instanceof AppError && error.code === "TIMEOUT";
    const code = errnoOf(cause);
    const isOurs = code === "EMFILE" || code === "ENFILE";
    exchange.errorCode = timedOut ? "TIMEOUT" : isOurs ? "LIMIT_EXCEEDED" : "UPSTREAM_ERROR";
    this.#runtime.log.debug("an upstream failed", { request_id: exchange.id, host: target?.host.text, error: messageOf(error) });
    if (downstream.headSent) {
      downstream.reset();
    } else {
      refuse(exchange, {
        status: timedOut ? 504 : isOurs ? 503 : 502,
        error: isOurs ? "limit_exceeded" : "upstream_error",
        host: target?.host.text ?? "",
        port: target?.port ?? 0,
        rule: isCertificateError(cause) ? "certificate" : "upstream",
        reason: isOurs ? NO_DESCRIPTOR : error instanceof AppError ? error.message : "the other side broke the connection off",
        code,
      });
    }
    this.#finish("upstream_error");
  }

  /** The client left. What is paid for all the same may be read on, for its figures. */
  #gone(): void {
    if (this.#over || this.#drained !== undefined) return;
    const { recognition, body, connection } = this.#exchange;
    // a request that was still coming has lost its rest
    const isWhole = this.#transfer !== undefined && body !== undefined && (body.kind !== "stream" || body.stream.readableEnded);
    if (this.#exchange.isReadToEnd === true && isWhole) this.#drained = () => undefined;
    else if (recognition?.billable === true && isWhole) {
      this.#drained = this.#runtime.drains?.begin(connection.attachment, () => this.#abort("aborted")) ?? undefined;
    }
    if (this.#drained === undefined) {
      this.#abort("aborted");
      return;
    }
    this.#body.discard();
    this.#transfer?.resume();
  }

  #late(ms: number): void {
    if (this.#over) return;
    this.#failed(new AppError("TIMEOUT", `no answer was complete within ${ms} ms`));
    this.#transfer?.abort();
    if (this.#connection !== undefined) this.#exchange.generation.pool.discard(this.#connection);
  }

  #abort(end: ExchangeEnd): void {
    if (this.#over) return;
    this.#finish(end);
    this.#transfer?.abort();
    const connection = this.#connection;
    if (connection !== undefined) this.#exchange.generation.pool.discard(connection);
  }

  #finish(end: ExchangeEnd | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#drained?.();
    clearTimeout(this.#deadline);
    if (end !== "complete") this.#body.abort();
    this.#exchange.end = end;
    this.#exchange.abort = undefined;
    this.#done.resolve();
  }
}

/** What the sandbox says over an upgraded connection. */
function outgoing(exchange: Exchange): Sieve {
  const { socketFilters } = exchange;
  return {
    chunk: (chunk) => {
      exchange.bytesOut += chunk.length;
      return socketFilters.reduce<readonly Uint8Array[]>(
        (pieces, filter) => (filter.outgoing === undefined ? pieces : pieces.flatMap((piece) => filter.outgoing?.(asBuffer(piece)) ?? [])),
        [chunk],
      );
    },
    flush: () => [],
  };
}

/** What comes back: first the frames, then what every answer goes through. */
function incoming(exchange: Exchange): Sieve & { after(at: number, chunk: Buffer): readonly Uint8Array[] } {
  const { socketFilters, filters } = exchange;
  const through = (pieces: readonly Uint8Array[], from: number): readonly Uint8Array[] =>
    filters.slice(from).reduce((now, filter) => now.flatMap((piece) => filter.chunk?.(piece) ?? [piece]), pieces);
  const counted = (pieces: readonly Uint8Array[]): readonly Uint8Array[] => {
    for (const piece of pieces) exchange.bytesIn += piece.length;
    return pieces;
  };
  const sieved = (from: number, chunk: Buffer): readonly Uint8Array[] => {
    const seen = socketFilters
      .slice(from)
      .reduce<readonly Uint8Array[]>(
        (pieces, filter) => (filter.incoming === undefined ? pieces : pieces.flatMap((piece) => filter.incoming?.(asBuffer(piece)) ?? [])),
        [chunk],
      );
    return counted(through(seen, 0));
  };
  return {
    chunk: (chunk) => sieved(0, chunk),
    after: (at, chunk) => sieved(at + 1, chunk),
    flush: () => counted(filters.flatMap((filter, i) => through(filter.flush?.() ?? [], i + 1))),
  };
}
