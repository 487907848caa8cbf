import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect, type TLSSocket } from "node:tls";

/** Where the load goes: a TLS listener on loopback that answers for `servername`. */
export type Target = { readonly port: number; readonly servername: string; readonly ca: string };

export type Outcome = {
  /** ms from the request's first byte to the first byte of the body */
  readonly firstByteMs: number;
  /** ms to the last byte */
  readonly totalMs: number;
  /** bytes of the body, framing included */
  readonly bytes: number;
};

/**
 * Another loopback address than the gateways dial from: a client and a gateway may be given the same port for different
 * destinations, and mockttp takes equal ports of equal addresses for a loop.
 */
const CLIENT_ADDRESS = "127.0.0.2";

/** A keep-alive HTTP/1.1 connection with no more to it than sending bytes and finding the end of an answer. */
export class Connection {
  readonly #socket: TLSSocket;
  #current: Exchange | undefined;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    const lost = (why: string) => (): void => this.#current?.reject(new Error(why));
    socket.on("error", (error) => this.#current?.reject(error));
    socket.on("close", lost("the connection was closed within an answer"));
  }

  static async open({ port, servername, ca }: Target): Promise<Connection> {
    const socket = connect({
      socket: connectTcp({ host: "127.0.0.1", localAddress: CLIENT_ADDRESS, port }),
      servername,
      ca,
      ALPNProtocols: ["http/1.1"],
    });
    socket.setNoDelay(true);
    // a peer that breaks off must fail one question and not the program
    socket.on("error", () => socket.destroy());
    try {
      await once(socket, "secureConnect", { signal: AbortSignal.timeout(20_000) });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return new Connection(socket);
  }

  /** One request, and its answer to the end. @throws Error for any status but 200 */
  send(head: Buffer, body?: readonly Buffer[]): Promise<Outcome> {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    if (this.isClosed) reject(new Error("the connection was closed between two requests"));
    this.#current = {
      resolve,
      reject,
      startedAt: performance.now(),
      firstAt: 0,
      head: undefined,
      left: 0,
      isChunked: false,
      bytes: 0,
      tail: "",
    };
    this.#socket.write(head);
    for (const part of body ?? []) this.#socket.write(part);
    return promise;
  }

  /** a peer may close what is idle for too long */
  get isClosed(): boolean {
    return this.#socket.destroyed || this.#socket.readableEnded;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const exchange = this.#current;
    if (exchange === undefined) return;
    let body = chunk;
    if (exchange.left === 0 && !exchange.isChunked) {
      const begin = exchange.head === undefined ? chunk : Buffer.concat([exchange.head, chunk]);
      const end = begin.indexOf("\r\n\r\n");
      exchange.head = begin;
      if (end < 0) return;
      const head = begin.toString("latin1", 0, end);
      if (!head.startsWith("HTTP/1.1 200")) return exchange.reject(new Error(`answered ${begin.toString("latin1", 0, 400)}`));
      body = begin.subarray(end + 4);
      exchange.isChunked = /^transfer-encoding:\s*chunked/im.test(head);
      exchange.left = Number(/^content-length:\s*(\d+)/im.exec(head)?.[1] ?? 0);
      if (!exchange.isChunked && exchange.left === 0) return exchange.reject(new Error("an answer without length"));
    }
    if (body.length === 0) return;
    if (exchange.firstAt === 0) exchange.firstAt = performance.now();
    exchange.bytes += body.length;
    if (!isWhole(exchange, body)) return;
    this.#current = undefined;
    const { startedAt, firstAt, bytes } = exchange;
    exchange.resolve({ firstByteMs: firstAt - startedAt, totalMs: performance.now() - startedAt, bytes });
  }
}

type Exchange = {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
  readonly startedAt: number;
  firstAt: number;
  /** what came of the head so far */
  head: Buffer | undefined;
  /** bytes of the body still to come */
  left: number;
  isChunked: boolean;
  bytes: number;
  /** the last bytes of a chunked body */
  tail: string;
};

const LAST_CHUNK = "0\r\n\r\n";

function isWhole(exchange: Exchange, body: Buffer): boolean {
  if (exchange.isChunked) {
    exchange.tail = (exchange.tail + body.toString("latin1", Math.max(0, body.length - LAST_CHUNK.length))).slice(-LAST_CHUNK.length);
    return exchange.tail === LAST_CHUNK;
  }
  exchange.left -= body.length;
  return exchange.left === 0;
}

export function requestHead(request: {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly length: number;
  readonly headers?: Readonly<Record<string, string>>;
}): Buffer {
  const fields = { host: request.host, "content-type": "application/json", ...request.headers, "content-length": String(request.length) };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${request.method} ${request.path} HTTP/1.1\r\n${lines.join("")}\r\n`);
}
