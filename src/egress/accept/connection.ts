import type { Socket } from "node:net";
import type { CanonicalHost } from "../../policy/host.ts";
import type { Caller, Exchange } from "../exchange/exchange.ts";
import type { Origin } from "../upstream/origin.ts";
import type { Destination } from "./destination.ts";
import type { SandboxSide } from "./sandbox-side.ts";

/** Where something already goes: the origin that was dialled, and the address of it. */
export type Route = { readonly origin: Origin; readonly address: string };

/** One accepted connection. What it may do follows from the listener that accepted it and from nothing it says. */
export class Connection implements Caller {
  readonly attachment: SandboxSide;
  readonly socket: Socket;
  readonly destination: Destination;
  /** the name behind a synthetic address, else the address itself */
  readonly expected: CanonicalHost;
  /** `https` once a ClientHello was read */
  scheme: "http" | "https" = "http";
  /** the ClientHello's name; null without one */
  serverName: CanonicalHost | null = null;
  /** monotonic ms at which the connection ends unless something complete arrived before; 0 while an exchange runs */
  deadlineAt: number;
  /** its TLS passes unopened */
  isTunnel = false;
  /** where a tunnel leads, once it does */
  route: Route | undefined;
  readonly exchanges = new Set<Exchange>();
  #bytes = 0;
  #bytesAt: number;

  constructor(attachment: SandboxSide, socket: Socket, destination: Destination, expected: CanonicalHost, now: number, deadlineAt: number) {
    this.attachment = attachment;
    this.socket = socket;
    this.destination = destination;
    this.expected = expected;
    this.deadlineAt = deadlineAt;
    this.#bytesAt = now;
  }

  /** ms since a byte moved in either direction, as of the last calls of this method */
  idleMs(now: number): number {
    const bytes = this.socket.bytesRead + this.socket.bytesWritten;
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#bytesAt = now;
    }
    return now - this.#bytesAt;
  }

  /** Ends it at once with all its exchanges. */
  destroy(): void {
    this.socket.destroy();
  }
}
