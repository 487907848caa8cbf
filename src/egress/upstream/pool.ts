import type { Socket } from "node:net";
import type { Client } from "undici";
import type { AddressClass } from "../../policy/address.ts";
import { dial, type DialOptions } from "./dial.ts";
import type { Origin } from "./origin.ts";

// below what common servers keep (nginx 75 s, load balancers 60 s), so that we rarely meet a connection that is just closing
const IDLE_MS = 25_000;
const MAX_IDLE = 64;
// hosts are the sandbox's choice, and descriptors are everybody's
const MAX_IDLE_IN_ALL = 256;
const MAX_HEAD = 128 * 1024;

/** One connection to an origin, for one exchange at a time. */
export type UpstreamConnection = {
  readonly client: Client;
  readonly socket: Socket;
  readonly origin: Origin;
  readonly address: string;
  readonly addressClass: AddressClass | undefined;
  /** carried an exchange before: its peer may be closing it right now */
  reused: boolean;
  closed: boolean;
};

/** Keep-alive connections of one sandbox under one policy generation; never shared beyond either, so a judged address stays judged. */
export class UpstreamPool {
  readonly #options: DialOptions;
  readonly #onConnect: (seconds: number) => void;
  readonly #idle = new Map<string, UpstreamConnection[]>();
  /** the same, longest idle first */
  readonly #resting = new Set<UpstreamConnection>();
  readonly #all = new Set<UpstreamConnection>();
  #retired = false;

  constructor(options: DialOptions, onConnect: (seconds: number) => void) {
    this.#options = options;
    this.#onConnect = onConnect;
  }

  /** An idle connection, most recently used first; undefined when one has to be opened. */
  take(origin: Origin): UpstreamConnection | undefined {
    const idle = this.#idle.get(origin.key);
    for (;;) {
      const connection = idle?.pop();
      if (connection === undefined) return undefined;
      this.#resting.delete(connection);
      if (!connection.closed && !connection.socket.destroyed && !connection.socket.readableEnded) return connection;
    }
  }

  /** @throws AddressDenied, AppError as `dial` */
  async open(origin: Origin): Promise<UpstreamConnection> {
    // most sandboxes start, and many end, without a connection: what it takes is loaded with the first
    const { default: HttpClient } = await import("undici/lib/dispatcher/client.js");
    const started = performance.now();
    const { socket, address, addressClass } = await dial(origin, this.#options);
    this.#onConnect((performance.now() - started) / 1000);
    let used = false;
    const client = new HttpClient(
      `${origin.scheme}://${origin.host.kind === "ipv6" ? `[${origin.host.text}]` : origin.host.text}:${origin.port}`,
      {
        // our vetted socket and no other: undici must never dial by itself
        connect: (_options, callback) => {
          const first = !used;
          used = true;
          // a callback within the call is lost: undici's resume is not re-entrant
          queueMicrotask(() => (first ? callback(null, socket) : callback(new Error("this connection is used up"), null)));
        },
        allowH2: false,
        pipelining: 1,
        keepAliveTimeout: IDLE_MS,
        keepAliveMaxTimeout: IDLE_MS,
        keepAliveTimeoutThreshold: 1000,
        // models may think for half an hour between two bytes; the gateway's own idle limit ends what is dead
        headersTimeout: 0,
        bodyTimeout: 0,
        maxHeaderSize: MAX_HEAD,
      },
    );
    const connection: UpstreamConnection = { client, socket, origin, address, addressClass, reused: false, closed: false };
    this.#all.add(connection);
    client.on("disconnect", () => this.#forget(connection));
    socket.once("close", () => this.#forget(connection));
    return connection;
  }

  /** Takes a connection back after an exchange that ended well. */
  release(connection: UpstreamConnection): void {
    if (connection.closed) return;
    connection.reused = true;
    let idle = this.#idle.get(connection.origin.key);
    if (idle === undefined) {
      idle = [];
      this.#idle.set(connection.origin.key, idle);
    }
    if (this.#retired || idle.length >= MAX_IDLE) {
      this.discard(connection);
      return;
    }
    idle.push(connection);
    this.#resting.add(connection);
    const [oldest] = this.#resting;
    if (oldest !== undefined && this.#resting.size > MAX_IDLE_IN_ALL) this.discard(oldest);
  }

  /** Ends a connection at once. */
  discard(connection: UpstreamConnection): void {
    this.#forget(connection);
    connection.socket.destroy();
  }

  /** From now on nothing is kept: idle connections close now, busy ones after their exchange. */
  retire(): void {
    this.#retired = true;
    for (const idle of this.#idle.values()) for (const connection of idle.splice(0)) this.discard(connection);
  }

  /** Ends everything at once. */
  close(): void {
    this.retire();
    for (const connection of this.#all) this.discard(connection);
  }

  #forget(connection: UpstreamConnection): void {
    if (connection.closed) return;
    connection.closed = true;
    this.#all.delete(connection);
    this.#resting.delete(connection);
    const idle = this.#idle.get(connection.origin.key);
    const at = idle?.indexOf(connection) ?? -1;
    if (at !== -1) idle?.splice(at, 1);
    if (idle?.length === 0) this.#idle.delete(connection.origin.key);
  }
}
