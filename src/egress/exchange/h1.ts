import { createServer, ServerResponse, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import { errnoOf, messageOf } from "../../base/error.ts";
import { BUILT_IN_RULES } from "../../policy/decision.ts";
import type { Connection } from "../accept/connection.ts";
import type { Runtime } from "../runtime.ts";
import type { Downstream } from "./exchange.ts";
import type { HeaderList } from "./header-list.ts";
import { readRequestHead, type RequestHead } from "./headers.ts";
import { newExchange } from "./new-exchange.ts";
import { rawAnswer } from "./refusal.ts";

/** how long a connection waits for its next request, head included */
export const KEEP_ALIVE_MS = 120_000;
// after a final response to a body that is still coming: read so much of it that the client sees the response before a reset
const LINGER_BYTES = 1024 * 1024;
const LINGER_MS = 5_000;
const CR = 0x0d;
const LF = 0x0a;

export interface Http1 {
  accept(connection: Connection, socket: Socket): void;
}

/** HTTP/1.1 with sandboxes: Node's own server, strict parser, fed with connections that were accepted elsewhere. */
export function createHttp1(runtime: Runtime): Http1 {
  const connections = new WeakMap<Duplex, Connection>();
  /** those that were told what is wrong with them: what else they sent is nobody's request */
  const refused = new WeakSet<Duplex>();
  const server: Server = createServer({
    insecureHTTPParser: false,
    maxHeaderSize: runtime.limits.headBytes,
    // judged with everything else that names the host, so that the answer and the record are ours
    requireHostHeader: false,
    // the connection's own deadlines do this, also while the server does not listen
    requestTimeout: 0,
    headersTimeout: 0,
    keepAliveTimeout: 0,
    noDelay: true,
  });
  // 0: unlimited; the head's size is what bounds it
  server.maxHeadersCount = 0;

  const begin = (request: IncomingMessage, downstream: Http1Downstream, isUpgrade: boolean): void => {
    if (refused.has(request.socket)) return;
    const connection = connections.get(request.socket);
    if (connection === undefined) throw new Error("a request came over a connection that nobody accepted");
    connection.deadlineAt = 0;
    const startedAt = runtime.clock.monotonic();
    const version = request.httpVersion;
    const head =
      version === "1.1" || version === "1.0"
        ? readRequestHead(request.rawHeaders, version)
        : ({ status: 400, reason: `HTTP/${version} is not spoken here` } as const);
    if ("reason" in head) {
      malformed(connection, request.socket, head.reason, head.status);
      return;
    }
    // the parser hands over what follows an upgrade as it is, whatever length the head gives it
    if (isUpgrade && (head.chunked || (head.contentLength ?? 0) > 0)) {
      malformed(connection, request.socket, "an upgrade has no body", 400);
      return;
    }
    downstream.read(head);
    runtime.serve(
      newExchange({
        connection,
        downstream,
        method: request.method ?? "",
        rawTarget: request.url ?? "",
        request: head,
        isUpgrade,
        startedAt,
      }),
    );
  };

  const malformed = (connection: Connection, socket: Duplex, reason: string, status: number): void => {
    if (refused.has(socket)) return;
    refused.add(socket);
    const { expected, destination } = connection;
    const facts = { host: expected.text, port: destination.port };
    connection.attachment.decided("http", "deny", BUILT_IN_RULES.protocol, reason, facts);
    // a 400 in the middle of another response, or before an earlier one, would be taken for a part of it
    const isAnswerable = connection.exchanges.size <= 1 && [...connection.exchanges].every((exchange) => !exchange.downstream.headSent);
    if (!isAnswerable) {
      connection.destroy();
      return;
    }
    // what follows such a head cannot be told apart from its body
    if (socket.writable) socket.end(rawAnswer({ status, error: "bad_request", ...facts, rule: BUILT_IN_RULES.protocol, reason }));
    connection.deadlineAt = runtime.clock.monotonic() + 1000;
  };

  /** A fault in the parser's callbacks costs this connection and never the process that carries all others. */
  const guarded = (socket: Duplex, work: () => void): void => {
    try {
      work();
    } catch (error) {
      runtime.log.error("a request could not be begun", { error: messageOf(error) });
      (connections.get(socket) ?? socket).destroy();
    }
  };

  const onRequest = (request: IncomingMessage, response: ServerResponse): void =>
    guarded(request.socket, () => begin(request, new Http1Downstream(request, response), false));
  server.on("request", onRequest);
  server.on("checkContinue", onRequest);
  server.on("checkExpectation", onRequest);
  const onUpgrade = (request: IncomingMessage, socket: Duplex, rest: Buffer): void => {
    const connection = connections.get(socket);
    if (connection === undefined) throw new Error("an upgrade came over a connection that nobody accepted");
    if (refused.has(socket)) return;
    if ((request.headers.upgrade ?? "").toLowerCase() !== "websocket" || request.method !== "GET") {
      malformed(connection, socket, "only an upgrade of a GET to websocket is known", 400);
      return;
    }
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    try {
      response.assignSocket(request.socket);
    } catch (error) {
      if (errnoOf(error) !== "ERR_HTTP_SOCKET_ASSIGNED") throw error;
      // the parser hands an upgrade over at once, also one that was sent behind a request that is not answered yet
      const facts = { host: connection.expected.text, port: connection.destination.port };
      connection.attachment.decided("http", "deny", BUILT_IN_RULES.protocol, "an upgrade behind a request that is not answered yet", facts);
      connection.destroy();
      return;
    }
    // the server lets go of an upgraded connection, so its end is ours to see to
    response.once("finish", () => socket.end());
    begin(request, new Http1Downstream(request, response, rest), true);
  };
  server.on("upgrade", (request, socket, rest) => guarded(socket, () => onUpgrade(request, socket, rest)));
  server.on("connect", (_request, socket) => {
    const connection = connections.get(socket);
    if (connection !== undefined) guarded(socket, () => malformed(connection, socket, "CONNECT is not served", 405));
  });
  const onClientError = (error: Error, socket: Duplex): void => {
    const connection = connections.get(socket);
    if (connection === undefined || socket.destroyed) return;
    const code = errnoOf(error) ?? "";
    if (!code.startsWith("HPE_")) {
      connection.destroy();
      return;
    }
    const tooLarge = code === "HPE_HEADER_OVERFLOW";
    malformed(connection, socket, tooLarge ? "the head is too large" : `the request is malformed (${code})`, tooLarge ? 431 : 400);
  };
  server.on("clientError", (error, socket) => guarded(socket, () => onClientError(error, socket)));

  return {
    accept: (connection, socket) => {
      connections.set(socket, connection);
      server.emit("connection", socket);
    },
  };
}

class Http1Downstream implements Downstream {
  readonly protocol = "http/1.1";
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  /** bytes after an upgrade's head */
  readonly #rest: Buffer | undefined;
  source: Readable | null = null;
  #expects = false;
  #ended = false;
  #started = false;
  #onDrain: () => void = () => undefined;
  /** its socket takes no more, and will say when it does */
  #isWaiting = false;

  constructor(request: IncomingMessage, response: ServerResponse, rest?: Buffer) {
    this.#request = request;
    this.#response = response;
    this.#rest = rest;
    // no header that the origin did not send
    response.sendDate = false;
    // a client that leaves is seen by its close; without a listener the error would be nobody's
    request.on("error", ignored);
    response.on("error", ignored);
  }

  read(head: RequestHead): void {
    this.source = head.chunked || (head.contentLength ?? 0) > 0 ? this.#request : null;
    this.#expects = head.expectsContinue && this.source !== null;
  }

  get headSent(): boolean {
    return this.#response.headersSent;
  }

  proceed(): void {
    // behind an earlier response it would stand in the middle of it; a client that waits sends its body after a while (RFC 9110 §10.1.1)
    if (this.#expects && this.#response.socket !== null) this.#response.writeContinue();
    this.#expects = false;
  }

  inform(status: number, headers: HeaderList): void {
    const { socket } = this.#response;
    // null while an earlier response of this connection is not finished
    if (socket === null || socket.writableNeedDrain || this.headSent || this.#request.httpVersion === "1.0") return;
    let text = `HTTP/1.1 ${status} \r\n`;
    for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i] ?? ""}: ${headers[i + 1] ?? ""}\r\n`;
    socket.write(`${text}\r\n`, "latin1");
  }

  head(status: number, statusText: string, headers: HeaderList): void {
    // whether the client now sends its body or not is unknown, so the connection cannot go on
    if (this.#expects) this.#response.shouldKeepAlive = false;
    // a phrase in the server's own language, decoded as something else, holds what no head may hold; it says nothing that a client acts on
    // oxlint-disable-next-line no-control-regex -- exactly these must not pass
    this.#response.writeHead(status, statusText.replace(/[^\t\x20-\x7e\x80-\xff]/g, "?"), headers as string[]);
    // the first body bytes usually come in the same turn and travel with the head; if not, the head goes alone
    process.nextTick(flush, this);
  }

  /** Sends the head if nothing did so yet. */
  flush(): void {
    if (!this.#started && !this.#response.destroyed) this.#response.flushHeaders();
  }

  write(chunk: Uint8Array): boolean {
    const response = this.#response;
    const { socket } = response;
    // what follows the first bytes in chunks is framed here: Node writes each frame in four pieces, which are then copied together
    if (this.#started && response.chunkedEncoding && socket !== null && chunk.length > 0) {
      const isFlowing = socket.write(chunkOf(chunk));
      if (!isFlowing && !this.#isWaiting) this.#waitFor(socket);
      return isFlowing;
    }
    this.#started = true;
    return response.write(chunk);
  }

  /** Node tells a response only of what the response itself has written. */
  #waitFor(socket: Socket): void {
    this.#isWaiting = true;
    socket.once("drain", () => {
      this.#isWaiting = false;
      this.#onDrain();
    });
  }

  end(trailers: HeaderList): void {
    this.#ended = true;
    this.#started = true;
    if (trailers.length > 0) this.#response.addTrailers(pairs(trailers));
    this.#response.end();
    if (!this.#request.complete && this.source !== null) this.#linger(this.source);
  }

  reset(): void {
    this.#request.socket.destroy();
  }

  onDrain(listener: () => void): void {
    this.#onDrain = listener;
    this.#response.on("drain", listener);
  }

  onGone(listener: () => void): void {
    this.#response.on("close", () => {
      if (!this.#ended) listener();
    });
  }

  switchProtocols(status: number, headers: HeaderList): Duplex {
    const { socket } = this.#request;
    let text = `HTTP/1.1 ${status} Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`;
    for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i] ?? ""}: ${headers[i + 1] ?? ""}\r\n`;
    this.#ended = true;
    this.#response.removeAllListeners("finish");
    this.#response.detachSocket(socket);
    socket.write(`${text}\r\n`, "latin1");
    if (this.#rest !== undefined && this.#rest.length > 0) socket.unshift(this.#rest);
    return socket;
  }

  #linger(source: Readable): void {
    const { socket } = this.#request;
    let left = LINGER_BYTES;
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    source.on("data", (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) socket.destroy();
    });
    source.once("close", () => clearTimeout(timer));
    source.once("end", () => clearTimeout(timer));
  }
}

/** One chunk of a body in the chunked coding (RFC 9112 §7.1). */
function chunkOf(bytes: Uint8Array): Buffer {
  const size = `${bytes.length.toString(16)}\r\n`;
  const chunk = Buffer.allocUnsafe(size.length + bytes.length + 2);
  chunk.write(size, "latin1");
  chunk.set(bytes, size.length);
  chunk[chunk.length - 2] = CR;
  chunk[chunk.length - 1] = LF;
  return chunk;
}

function flush(downstream: Http1Downstream): void {
  downstream.flush();
}

function ignored(): void {
  // see the constructor: the close that follows is what counts
}

function pairs(list: HeaderList): [string, string][] {
  const out: [string, string][] = [];
  for (let i = 0; i + 1 < list.length; i += 2) out.push([list[i] ?? "", list[i + 1] ?? ""]);
  return out;
}
