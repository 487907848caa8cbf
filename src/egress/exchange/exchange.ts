import type { Duplex, Readable, Writable } from "node:stream";
import type { LlmEvent, ShownBody } from "../../schema/event.ts";
import type { AddressClass } from "../../policy/address.ts";
import type { Decision } from "../../policy/decision.ts";
import type { CanonicalHost } from "../../policy/host.ts";
import type { Recognition } from "../../providers/types.ts";
import type { Destination } from "../accept/destination.ts";
import type { Generation } from "../accept/generation.ts";
import type { SandboxSide } from "../accept/sandbox-side.ts";
import type { Holding } from "./holdings.ts";
import type { GatewaySecret } from "../options.ts";
import type { Origin } from "../upstream/origin.ts";
import type { HeaderList } from "./header-list.ts";
import type { RequestHead } from "./headers.ts";

/** The sandbox's side of one exchange: HTTP/1.1 response, HTTP/2 stream or upgraded socket. */
export interface Downstream {
  readonly protocol: "http/1.1" | "h2";
  /** bytes of the request body; null when there is none. Paused until somebody listens. */
  readonly source: Readable | null;
  readonly headSent: boolean;
  /** says `100 Continue` to a client that waits for it */
  proceed(): void;
  /** relays an interim response; one that the client has no room for is left out (RFC 9110 §15.2) */
  inform(status: number, headers: HeaderList): void;
  head(status: number, statusText: string, headers: HeaderList): void;
  /** false: wait for `onDrain` */
  write(chunk: Uint8Array): boolean;
  end(trailers: HeaderList): void;
  /** ends the exchange without an ending, so that the client does not take what it has for whole */
  reset(): void;
  onDrain(listener: () => void): void;
  /** the client left before the response was complete */
  onGone(listener: () => void): void;
  /** the connection turns into a plain stream of bytes; only for upgrades */
  switchProtocols?(status: number, headers: HeaderList): Duplex;
}

/** Sees the response as it passes. Runs synchronously on the relay's path: cheap, and never throws. */
export interface ResponseFilter {
  head?(status: number, headers: HeaderList): HeaderList;
  /** headers of interim responses and of upgrades, trailers */
  fields?(headers: HeaderList): HeaderList;
  /** the reason phrase */
  text?(text: string): string;
  /** the bytes to forward now */
  chunk?(chunk: Uint8Array): readonly Uint8Array[];
  /** bytes held back until the end */
  flush?(): readonly Uint8Array[];
  /** asked after the head: streams that the body goes through here instead of through `chunk` and `flush`; one filter may have some */
  stage?(): BodyStage | undefined;
}

/** Streams in the way of a body; an error of any of them comes from `output`. */
export type BodyStage = { readonly input: Writable; readonly output: Readable };

/**
 * Ends an upgraded connection: the client gets these last bytes, the upstream is gone at once. `rest` is what came from the upstream and
 * goes before them, through the filters that follow.
 */
export type CutSocket = (last: readonly Uint8Array[], rest?: Buffer) => void;

/** Sees the bytes of an upgraded connection, both ways, as they pass. Synchronous and cheap, and never throws. */
export interface SocketFilter {
  /** both sides are there: `headers` of the 101 */
  opened?(headers: HeaderList, cut: CutSocket): void;
  /** bytes of the sandbox; gives those to forward now */
  outgoing?(chunk: Buffer): readonly Uint8Array[];
  /** bytes of the upstream, before `ResponseFilter`s saw them; gives those to forward now */
  incoming?(chunk: Buffer): readonly Uint8Array[];
  /** which side was the first to end; `cut`: we were */
  closed?(first: "client" | "server" | "cut"): void;
}

/** Where a request goes, once every name in it was found to be the same. */
export type Target = {
  readonly scheme: "http" | "https";
  readonly host: CanonicalHost;
  readonly port: number;
  /** path as sent, without query */
  readonly path: string;
  /** with its `?`, or empty */
  readonly query: string;
};

export type RequestBody =
  | { readonly kind: "none" }
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  /** read once; `length` null: chunked */
  | { readonly kind: "stream"; readonly stream: Readable; readonly length: number | null };

/** `complete`: the response was relayed whole; `aborted`: the client left; `upstream_error`: the other side broke off. */
export type ExchangeEnd = "complete" | "aborted" | "upstream_error" | "error";

/** The connection an exchange came over: what it may do follows from the listener that accepted it. */
export interface Caller {
  readonly attachment: SandboxSide;
  readonly destination: Destination;
  /** the name behind a synthetic address, else the address itself */
  readonly expected: CanonicalHost;
  readonly scheme: "http" | "https";
  /** the ClientHello's name; null without one */
  readonly serverName: CanonicalHost | null;
  /** monotonic ms at which the connection ends unless something complete arrived before; 0 while an exchange runs */
  deadlineAt: number;
  readonly exchanges: Set<Exchange>;
}

/** One request with its response, on its way through the interceptors. Each fills in its own part. */
export type Exchange = {
  readonly id: string;
  readonly connection: Caller;
  /** policy, secrets and upstreams as they were when the exchange was judged */
  generation: Generation;
  readonly downstream: Downstream;
  readonly method: string;
  /** request target as sent */
  readonly rawTarget: string;
  readonly request: RequestHead;
  readonly isUpgrade: boolean;
  /** monotonic ms */
  readonly startedAt: number;
  /** its part of what the sandbox may make the gateway hold; given back with its record */
  readonly holding: Holding;

  // identity
  target: Target | undefined;
  recognition: Recognition | undefined;
  // policy
  decision: Decision | undefined;
  // what is sent upstream
  headers: string[];
  body: RequestBody | undefined;
  origin: Origin | undefined;
  readonly secretsInjected: string[];
  /** the same as bindings: their values are on the wire */
  readonly injected: GatewaySecret[];
  /** the query that is sent in the target's place: it holds a real value */
  sentQuery: string | undefined;
  keySource: "org" | "sandbox" | "none";
  /** the model call's record was made */
  callReported: boolean;
  /** records of model calls that wait for the exchange's own, which readers are to see first; absent: they do not wait */
  heldCalls?: Omit<LlmEvent, "id" | "schema_version" | "timestamp">[] | undefined;
  readonly filters: ResponseFilter[];
  /** the request's body as others may see it; absent: nobody asked for it before it was sent */
  shownRequest?: ShownBody;
  /** what the exchange's record carries of both; absent: nothing */
  carried?: { readonly request_body?: ShownBody; readonly response_body?: ShownBody };
  /** for upgrades: what the frames go through, in this order on their way out */
  readonly socketFilters: SocketFilter[];

  // what came of it
  status: number | null;
  address: string | undefined;
  addressClass: AddressClass | undefined;
  /** request body bytes that the sandbox sent */
  bytesOut: number;
  /** response body bytes that the sandbox was sent */
  bytesIn: number;
  /** monotonic ms of the request going out and of the response's head and first body byte */
  sentAt: number | undefined;
  headAt: number | undefined;
  firstByteAt: number | undefined;
  /** of a model call's answer: how many chunks came, and when the first and the last did, monotonic ms */
  answerChunks?: { readonly firstAt: number; lastAt: number; count: number } | undefined;
  end: ExchangeEnd | undefined;
  errorCode: string | undefined;
  /** what the answer brings would be lost with it: it is read to its end, whether or not the client waits for it */
  isReadToEnd?: true;
  /** the client left, and the answer was read to its end all the same */
  wasDrained?: true;
  /** ends it from outside: policy changed, sandbox stopped */
  abort: ((reason: string) => void) | undefined;
};

export type Next = (exchange: Exchange) => Promise<void>;
/** One step in the path of every exchange; resolves when the exchange is over. */
export type Interceptor = (next: Next) => Next;
