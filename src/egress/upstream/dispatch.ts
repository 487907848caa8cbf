import type { Duplex, Readable } from "node:stream";
import type { Dispatcher } from "undici";
import type { HeaderList } from "../exchange/header-list.ts";
import type { UpstreamConnection } from "./pool.ts";

export type UpstreamRequest = {
  readonly method: string;
  /** path with query, as the sandbox sent it */
  readonly path: string;
  /** with Host and, for a stream of known length, Content-Length */
  readonly headers: HeaderList;
  readonly body: Buffer | Readable | null;
  /** protocol to switch to, for an upgrade */
  readonly upgrade?: string;
};

/** Takes what comes back. Called synchronously from the socket's reads. */
export interface ResponseSink {
  onInfo(status: number, headers: HeaderList): void;
  onHead(status: number, statusText: string, headers: HeaderList): void;
  /** false: no more until `Transfer.resume()` */
  onChunk(chunk: Buffer): boolean;
  onEnd(trailers: HeaderList): void;
  /** `answered`: at least one byte of a response had come */
  onError(error: Error, answered: boolean): void;
  onUpgrade(status: number, headers: HeaderList, socket: Duplex): void;
}

/** A request under way. */
export interface Transfer {
  resume(): void;
  abort(): void;
}

/** Sends one request on a connection of its own. */
export function dispatch(connection: UpstreamConnection, request: UpstreamRequest, sink: ResponseSink): Transfer {
  const handler = new Handler(sink);
  const options: Dispatcher.DispatchOptions = {
    path: request.path,
    method: request.method,
    headers: request.headers as string[],
    body: request.body,
    idempotent: false,
    ...(request.upgrade === undefined ? {} : { upgrade: request.upgrade }),
  };
  connection.client.dispatch(options, handler);
  return handler;
}

class Handler implements Dispatcher.DispatchHandler, Transfer {
  readonly #sink: ResponseSink;
  #controller: Dispatcher.DispatchController | undefined;
  #aborted = false;
  #answered = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  resume(): void {
    this.#controller?.resume();
  }

  abort(): void {
    this.#aborted = true;
    this.#controller?.abort(new Error("the exchange was given up"));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#aborted) controller.abort(new Error("the exchange was given up"));
  }

  onResponseStarted(): void {
    this.#answered = true;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _headers: unknown, statusText?: string): void {
    const headers = flat(controller.rawHeaders);
    if (status < 200) this.#sink.onInfo(status, headers);
    else this.#sink.onHead(status, statusText ?? "", headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#sink.onChunk(chunk)) controller.pause();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#sink.onEnd(flat(controller.rawTrailers));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#sink.onError(error, this.#answered);
  }

  onRequestUpgrade(controller: Dispatcher.DispatchController, status: number, _headers: unknown, socket: Duplex): void {
    this.#sink.onUpgrade(status, flat(controller.rawHeaders), socket);
  }
}

function flat(raw: Dispatcher.DispatchController["rawHeaders"]): HeaderList {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (typeof part === "string" ? part : part.toString("latin1")));
}
