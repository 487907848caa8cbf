import type { Socket as DatagramSocket } from "node:dgram";
import type { Server, Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Secret } from "../base/secret.ts";
import type { Policy } from "../policy/policy.ts";
import type { CostOfCall } from "../usage/cost.ts";
import type { DecisionEvent, ExchangeEvent, FindingEvent, LlmEvent } from "../schema/event.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { ProviderTable } from "../providers/recognize.ts";
import type { BoundSecret } from "../secrets/prepare.ts";
import type { Judge } from "./judge.ts";
import type { CallGate } from "./admission.ts";

/** Sends a host's traffic to another origin. The Host header stays; the certificate must fit the url's host. */
export type Upstream = {
  readonly host: string;
  /** only traffic to this port of the host; undefined: every port */
  readonly port?: number;
  /** https://…, or http:// (keys only over http on loopback) */
  readonly url: URL;
  /** PEM, more roots for this origin */
  readonly ca?: string;
};

/** The proxy of the network that this machine stands in; every connection goes through it but those to origins the operator named. */
export type UpstreamProxy = {
  /** http:// or https://, origin only */
  readonly url: URL;
  /** `user:password` */
  readonly credentials?: Secret;
  /** PEM, every root that an https:// proxy is verified against; absent: the system's */
  readonly ca?: string;
};

/** A secret with what the gateway has to know beside its binding. */
export type GatewaySecret = BoundSecret & {
  /** it was taken away while the sandbox runs: its placeholder is refused everywhere */
  readonly isRevoked?: true;
  /** secret file that it is a token of */
  readonly file?: string;
  /** it may stand in no header: in the body of its file's refresh alone, or nowhere */
  readonly isBodyOnly?: true;
  /** whose key it is, for the record of a model call; undefined: the sandbox's own */
  readonly source?: "org" | "sandbox";
};

/** Where a client renews the tokens of a secret file: the one place where they may stand in a body. */
export type TokenEndpoint = {
  readonly file: string;
  /** canonical */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** refreshes of one file come one after another, in all processes: a refresh token is good for one of them */
  exclusive(work: (turn: RefreshTurn) => Promise<void>): Promise<TurnEnd>;
};

/** `busy`: its turn did not come; `refused`: it cannot come, and why. In both nothing was done. */
export type TurnEnd = "done" | "busy" | { readonly refused: string; readonly hint: string };

/** What a login is, as far as it is known: a refresh must not make another one of it. */
export type RefreshGrant = {
  /** RFC 6749 §3.3; absent: it is not known, and none is asked for */
  readonly scope?: string;
  /** clients that it may be of; empty: it is not known, and the server sees to it */
  readonly clientIds: readonly string[];
  /** names of further members that a refresh of it may carry; others are left out */
  readonly parameters: readonly string[];
};

/** The one refresh of a file that is under way, over all processes. */
export interface RefreshTurn {
  readonly grant: RefreshGrant;
  /** the answer for a client whose tokens were renewed since it asked; absent: they are the newest, and the endpoint is asked */
  readonly renewed?: string;
  /**
   * Keeps what a successful answer brought, and gives the answer that the sandbox may see. Synchronous: nobody may see the one
   * before the other is done. @throws for an answer that cannot be read
   */
  accept(answer: string): string;
}

/** What the gateway knows about the sandbox behind a set of listeners. Replaced as a whole, never mutated. */
export type SandboxEgress = {
  readonly uuid: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly policy: Policy;
  readonly secrets: readonly GatewaySecret[];
  /** the organisation's keys: put into requests to hosts that none of `secrets` is for */
  readonly orgKeys?: readonly GatewaySecret[];
  readonly tokenEndpoints?: readonly TokenEndpoint[];
  readonly upstreams: readonly Upstream[];
};

export type EgressLimits = {
  readonly connectionsPerSandbox: number;
  readonly connectionsPerListener: number;
  /** requests, tunnels and upgraded connections under way */
  readonly exchangesPerSandbox: number;
  /** ms for the first byte, the ClientHello and the request head */
  readonly handshakeTimeoutMs: number;
  readonly headBytes: number;
  /** ms without a byte in either direction before an exchange is cut */
  readonly idleTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** bytes of a request body held to read or change it; past it a body is only scanned */
  readonly inspectBytes: number;
  /** bytes of request bodies that all exchanges of a sandbox hold together; past it a body is only scanned, too */
  readonly heldBytesPerSandbox: number;
  /** requests with a compressed body under way */
  readonly codedBodiesPerSandbox: number;
  /** ms that the beginning of a request body is waited for when a hook wants to see it before the request is sent */
  readonly lookTimeoutMs: number;
};

/** Takes what happened. Sync and cheap: the callee queues. A throw or `false` from `admit` denies new exchanges. */
export type EgressReporter = {
  exchange(event: Omit<ExchangeEvent, "id" | "schema_version" | "timestamp">): void;
  decision(event: Omit<DecisionEvent, "id" | "schema_version" | "timestamp">): void;
  llm(event: Omit<LlmEvent, "id" | "schema_version" | "timestamp">): void;
  finding(event: Omit<FindingEvent, "id" | "schema_version" | "timestamp">): void;
  /** may new exchanges start? null when yes, else why not (the audit log is not writable) */
  blocked(): string | null;
};

export type GatewayOptions = {
  /** directory of the authority's key (0600) and certificate; made when missing */
  readonly authorityDir: string;
  /** PEM bundles beside the system's: `[egress].ca_file` */
  readonly extraCa?: string;
  /** operator-wide, before a sandbox's own */
  readonly upstreams: readonly Upstream[];
  readonly upstreamProxy?: UpstreamProxy;
  readonly providers: ProviderTable;
  readonly includeUsage: "inject_strip" | "inject" | "off";
  /** read an answer to its end whose client has left, for the figures in it; default: the upstream is cancelled at once */
  readonly drainOnAbort?: boolean;
  readonly costOf: CostOfCall;
  /** permitted models and budgets; absent: every call may leave */
  readonly gate?: CallGate;
  /** decision hooks, and hooks that want to know of requests; absent: none */
  readonly judge?: Judge;
  readonly limits: EgressLimits;
  readonly report: EgressReporter;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly clock: Clock;
  /** name to addresses; default `dns.lookup` of the host */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
};

export interface Gateway extends AsyncDisposable {
  /** PEM of our authority's certificate */
  readonly authorityPem: string;
  /** ours + the system's + the operator's extra roots, PEM */
  readonly trustBundlePem: string;
  /** takes the listeners of one sandbox; from the moment it returns every connection is served. Owns and closes them. */
  attach(egress: SandboxEgress, listeners: SandboxListeners): EgressAttachment;
}

/** The way out of one sandbox: everything that connects to these is that sandbox. */
export type SandboxListeners = {
  /** by port; 53 is DNS over TCP, every other port HTTP or TLS */
  readonly tcp: ReadonlyMap<number, Server>;
  readonly dns?: DatagramSocket;
  /** where a connection wanted to go; undefined: its local address and port, which is what AnyIP routing makes of it */
  readonly destinationOf?: (socket: Socket) => { readonly address: string; readonly port: number } | undefined;
};

export interface EgressAttachment extends AsyncDisposable {
  /** new policy, secrets or upstreams; connections whose verdict changed are closed within a second */
  update(egress: SandboxEgress): void;
  /** resolves when exchanges in flight have been reported, at the latest after `deadlineMs` */
  drain(deadlineMs: number): Promise<void>;
}
