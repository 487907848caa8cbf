import type { Server, Socket } from "node:net";
import { messageOf } from "../../base/error.ts";
import { background, ignore } from "../../base/background.ts";
import { newId } from "../../base/id.ts";
import { BUILT_IN_RULES, type Decision } from "../../policy/decision.ts";
import { parseHost } from "../../policy/host.ts";
import { Holdings } from "../exchange/holdings.ts";
import type { EgressAttachment, SandboxEgress, SandboxListeners } from "../options.ts";
import type { Runtime } from "../runtime.ts";
import { UpstreamPool } from "../upstream/pool.ts";
import { inTurn, type Resolve } from "../upstream/resolve.ts";
import { Connection } from "./connection.ts";
import { destinationOf } from "./destination.ts";
import { serveTcp, serveUdp, SyntheticResolver } from "./dns.ts";
import { DecisionFolder } from "./folding.ts";
import { decide, type Generation } from "./generation.ts";
import { intake } from "./intake.ts";
import { RateLimit } from "./rate.ts";
import { review } from "./review.ts";
import type { DecisionFacts, DecisionRecord, SandboxSide } from "./sandbox-side.ts";
import { SyntheticAddresses } from "./synthetic.ts";

const FOLD_MS = 5_000;
const MINTS_PER_SECOND = 20;
const MINT_BURST = 200;
/** ms that the end of a sandbox waits for what must be complete; more than the deadlines of that */
const COMPLETE_MS = 60_000;
const DNS_PORT = 53;
const DNS_CONNECTIONS = 16;
const LOOKUPS = 2;

/** One sandbox's way out: its listeners, its names, its connections, its current policy. */
export class Attachment implements EgressAttachment, SandboxSide {
  readonly #runtime: Runtime;
  readonly #listeners: SandboxListeners;
  readonly #names = new SyntheticAddresses();
  readonly #connections = new Set<Connection>();
  readonly #sockets = new Set<Socket>();
  readonly #folder: DecisionFolder;
  readonly #minting: RateLimit;
  readonly resolve: Resolve;
  readonly holdings: Holdings;
  readonly #sweeper: NodeJS.Timeout;
  #generation: Generation;
  #inFlight = 0;
  #completing = 0;
  #idle: (() => void)[] = [];
  #foldAt: number;
  #closed = false;

  constructor(runtime: Runtime, egress: SandboxEgress, listeners: SandboxListeners) {
    this.#runtime = runtime;
    this.#listeners = listeners;
    this.resolve = inTurn(runtime.resolve, LOOKUPS, runtime.limits.connectTimeoutMs);
    this.holdings = new Holdings(runtime.limits);
    this.#generation = this.#generationOf(egress);
    this.#folder = new DecisionFolder((event) => runtime.report.decision(event));
    this.#minting = new RateLimit(runtime.clock, MINTS_PER_SECOND, MINT_BURST);
    this.#foldAt = runtime.clock.monotonic();
    const { handshakeTimeoutMs, connectionsPerListener } = runtime.limits;
    for (const [port, server] of listeners.tcp) {
      server.maxConnections = port === DNS_PORT ? DNS_CONNECTIONS : connectionsPerListener;
      server.on("drop", () => this.decided("tcp", "deny", BUILT_IN_RULES.protocol, "too many connections to one port", { port }));
      // EMFILE and its kin: this connection is lost, the listener lives on
      server.on("error", (error) => runtime.log.warn("a connection could not be accepted", { port, error: messageOf(error) }));
    }
    const resolver = this.#resolver();
    for (const [port, server] of listeners.tcp) {
      if (port === DNS_PORT) server.on("connection", (socket) => this.#acceptDns(socket, resolver));
      else server.on("connection", (socket) => this.#accept(socket));
    }
    if (listeners.dns !== undefined) serveUdp(listeners.dns, resolver, runtime.log);
    this.#sweeper = setInterval(() => this.#sweep(), Math.min(1000, Math.max(20, handshakeTimeoutMs / 4)));
    this.#sweeper.unref();
  }

  get generation(): Generation {
    return this.#generation;
  }

  update(egress: SandboxEgress): void {
    const old = this.#generation;
    this.#generation = this.#generationOf(egress);
    old.pool.retire();
    this.#runtime.drains?.endOf(this);
    for (const connection of this.#connections) review(this.#runtime, this.#generation, connection);
  }

  async drain(deadlineMs: number): Promise<void> {
    if (this.#inFlight === 0) return;
    const done = Promise.withResolvers<void>();
    const timer = setTimeout(done.resolve, deadlineMs);
    this.#idle.push(done.resolve);
    await done.promise;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweeper);
    const closing = [...this.#listeners.tcp.values()].map((server) => closeServer(server));
    for (const socket of this.#sockets) socket.destroy();
    this.#listeners.dns?.close();
    this.#runtime.drains?.endOf(this);
    await Promise.all(closing);
    await this.drain(this.#completing > 0 ? COMPLETE_MS : 1000);
    this.#generation.pool.close();
    this.#folder.flush();
    this.#runtime.attachments.delete(this);
  }

  get isFull(): boolean {
    return this.#inFlight >= this.#runtime.limits.exchangesPerSandbox;
  }

  mayMint(): boolean {
    return this.#minting.take();
  }

  /** Lets an exchange count as running until its promise settles. */
  track(work: Promise<void>): void {
    this.#inFlight += 1;
    background("an exchange", this.#counted(work), this.#runtime.log);
  }

  async #counted(work: Promise<void>): Promise<void> {
    try {
      await work;
    } finally {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  completing(work: Promise<void>): void {
    this.#completing += 1;
    ignore(
      work.finally(() => (this.#completing -= 1)),
      "the exchange tells what became of it",
    );
  }

  /** Reports a decision that no exchange carries. */
  decided(
    protocol: DecisionRecord["protocol"],
    verdict: Decision["verdict"],
    rule: string,
    reason: string,
    facts: DecisionFacts = {},
  ): void {
    const { egress } = this.#generation;
    const event: DecisionRecord = {
      type: "egress.decision",
      actor: { kind: "sandbox", user_id: egress.name },
      outcome: verdict === "allow" ? "permit" : "deny",
      sandbox: egress.name,
      sandbox_uuid: egress.uuid,
      request_id: newId("req"),
      labels: egress.labels,
      decision: verdict,
      protocol,
      rule,
      reason,
      policy: egress.policy.ref,
      ...facts,
    };
    this.#runtime.metrics.decision(event);
    if (verdict === "deny") this.#folder.add(event);
    else this.#runtime.report.decision(event);
  }

  #generationOf(egress: SandboxEgress): Generation {
    const { limits, metrics, upstreams, upstreamProxy } = this.#runtime;
    const pool = new UpstreamPool(
      { policy: egress.policy, resolve: this.resolve, connectTimeoutMs: limits.connectTimeoutMs, tls: "verify", proxy: upstreamProxy },
      (seconds) => metrics.upstreamConnect(seconds),
    );
    return { egress, upstreams: [...upstreams, ...egress.upstreams], pool, origins: new Map() };
  }

  #resolver(): SyntheticResolver {
    return new SyntheticResolver({
      names: this.#names,
      clock: this.#runtime.clock,
      log: this.#runtime.log,
      named: (host) => {
        const decision = decide(this.#generation, { host, port: 443, scheme: "https" });
        // the name gets its address all the same: the denial that people can read happens in HTTP
        if (decision.verdict === "deny") this.decided("dns", "deny", decision.rule, decision.reason, { host: host.text });
      },
      refused: ({ name, rule, reason }) =>
        this.decided("dns", "deny", rule, reason, name === undefined ? {} : { host: name.replace(/[^\x20-\x7e]/g, "?").slice(0, 253) }),
    });
  }

  #acceptDns(socket: Socket, resolver: SyntheticResolver): void {
    this.#hold(socket);
    serveTcp(socket, resolver);
  }

  #accept(socket: Socket): void {
    this.#hold(socket);
    const { clock, limits } = this.#runtime;
    const destination = (this.#listeners.destinationOf ?? destinationOf)(socket);
    const expected = destination === undefined ? undefined : (this.#names.nameOf(destination.address) ?? parseHost(destination.address));
    if (destination === undefined || expected === undefined || expected.kind === "invalid") {
      socket.destroy();
      return;
    }
    if (this.#connections.size >= limits.connectionsPerSandbox) {
      this.decided("tcp", "deny", BUILT_IN_RULES.protocol, "too many connections from this sandbox", { port: destination.port });
      socket.destroy();
      return;
    }
    const now = clock.monotonic();
    const connection = new Connection(this, socket, destination, expected, now, now + limits.handshakeTimeoutMs);
    this.#connections.add(connection);
    this.#runtime.metrics.connectionOpened();
    socket.once("close", () => {
      this.#connections.delete(connection);
      this.#runtime.metrics.connectionClosed();
    });
    socket.setNoDelay(true);
    intake(this.#runtime, connection);
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    // resets by the sandbox's side are ordinary; the close that follows is what ends an exchange
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** Ends a connection whose time is over. What it sent in vain is recorded; one that was served has records of its own. */
  #expire(connection: Connection): void {
    const { socket, expected, destination } = connection;
    if (socket.bytesRead > 0 && socket.bytesWritten === 0) {
      const reason = "neither a request nor a ClientHello was complete in time";
      const facts = { host: expected.text, port: destination.port, address: destination.address };
      this.decided("tcp", "deny", BUILT_IN_RULES.protocol, reason, facts);
    }
    connection.destroy();
  }

  #sweep(): void {
    const now = this.#runtime.clock.monotonic();
    for (const connection of this.#connections) {
      if (connection.deadlineAt !== 0 && now > connection.deadlineAt) this.#expire(connection);
      else if (connection.idleMs(now) > this.#runtime.limits.idleTimeoutMs) connection.destroy();
    }
    if (now - this.#foldAt > FOLD_MS) {
      this.#foldAt = now;
      this.#folder.flush();
    }
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) resolve();
    else server.close(() => resolve());
  });
}
