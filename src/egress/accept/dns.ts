import type { Socket as DatagramSocket } from "node:dgram";
import type { Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { messageOf } from "../../base/error.ts";
import { parseHost, type CanonicalHost } from "../../policy/host.ts";
import { BUILT_IN_RULES } from "../../policy/decision.ts";
import { RCODE, readQuery, TYPE, writeAnswer, writeFormatError, type DnsAnswer, type DnsQuery } from "./dns-message.ts";
import { RateLimit } from "./rate.ts";
import type { SyntheticAddresses } from "./synthetic.ts";

/** Long enough to be worth caching, short enough that a forgotten name comes back soon. */
const TTL_SECONDS = 60;
const QUERIES_PER_SECOND = 200;
const QUERY_BURST = 400;
const TCP_QUERIES = 100;
const TCP_IDLE_MS = 10_000;
const HEADER_BYTES = 12;
const MAX_MESSAGE = 4_096;

export type DnsRefusal = { readonly name: string | undefined; readonly rule: string; readonly reason: string };

export type ResolverOptions = {
  readonly names: SyntheticAddresses;
  readonly clock: Clock;
  readonly log: Log;
  /** a name that was not asked for before */
  named(host: CanonicalHost): void;
  refused(refusal: DnsRefusal): void;
};

/** Answers a sandbox's DNS out of thin air: no question ever leaves the host, so names carry nothing out. */
export class SyntheticResolver {
  readonly #options: ResolverOptions;
  readonly #rate: RateLimit;

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#rate = new RateLimit(options.clock, QUERIES_PER_SECOND, QUERY_BURST);
  }

  /** The answer to one message; undefined when there is to be none. Never throws. */
  answer(message: Uint8Array): Buffer | undefined {
    if (!this.#rate.take()) {
      this.#options.refused({ name: undefined, rule: BUILT_IN_RULES.protocol, reason: "DNS queries come faster than permitted" });
      return undefined;
    }
    const read = readQuery(message);
    if (read.kind === "drop") return undefined;
    if (read.kind === "malformed") {
      this.#options.refused({ name: undefined, rule: BUILT_IN_RULES.protocol, reason: "the DNS message is malformed" });
      return writeFormatError(read.id);
    }
    return writeAnswer(read.query, this.#decide(read.query));
  }

  /** A message over TCP that is longer than a question can be, or shorter. */
  refuseLength(length: number): void {
    const reason = `a DNS message over TCP of ${length < HEADER_BYTES ? "fewer bytes than a header has" : "more bytes than a question needs"}`;
    this.#options.refused({ name: undefined, rule: BUILT_IN_RULES.protocol, reason });
  }

  #decide(query: DnsQuery): DnsAnswer {
    if (query.opcode !== 0) {
      this.#refuse(query, `DNS opcode ${query.opcode} is not answered`);
      return { rcode: RCODE.notImplemented };
    }
    if (query.class !== 1) return this.#refuse(query, "only Internet names are answered");
    const host = parseHost(query.name);
    if (host.kind === "invalid") return this.#refuse(query, `not a host name: it ${host.reason}`);
    if (host.kind !== "name") return this.#refuse(query, "an address is not a name");
    // empty and NOERROR: clients fall back to A at once, and without HTTPS records there is no ECH and no QUIC
    if (query.type === TYPE.AAAA || query.type === TYPE.HTTPS || query.type === TYPE.SVCB) return { rcode: RCODE.ok };
    if (query.type !== TYPE.A) return this.#refuse(query, `DNS type ${query.type} is not answered`);
    const { address, fresh } = this.#options.names.assign(host);
    if (fresh) this.#options.named(host);
    return { rcode: RCODE.ok, address, ttlSeconds: TTL_SECONDS };
  }

  #refuse(query: DnsQuery, reason: string): DnsAnswer {
    this.#options.refused({ name: query.name, rule: BUILT_IN_RULES.protocol, reason });
    return { rcode: RCODE.refused };
  }
}

/** Serves the resolver on a datagram socket; the caller closes it. */
export function serveUdp(socket: DatagramSocket, resolver: SyntheticResolver, log: Log): void {
  socket.on("error", (error) => log.warn("the DNS socket failed", { error: messageOf(error) }));
  socket.on("message", (message, peer) => {
    const answer = resolver.answer(message);
    // sources are forged easily (sandbox.md: broadcast and 240/4); such an answer cannot leave the namespace and may fail to send
    if (answer === undefined || !peer.address || !peer.port) return;
    try {
      socket.send(answer, peer.port, peer.address, (error) => {
        if (error) log.debug("a DNS answer could not be sent", { error: messageOf(error) });
      });
    } catch (error) {
      log.debug("a DNS answer could not be sent", { error: messageOf(error) });
    }
  });
}

/** Serves one TCP connection (RFC 7766): messages with two bytes of length before each. */
export function serveTcp(socket: Socket, resolver: SyntheticResolver): void {
  let pending: Buffer = Buffer.alloc(0);
  let left = TCP_QUERIES;
  socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= 2) {
      const length = pending.readUInt16BE(0);
      // a question fits into 512 bytes with room for EDNS options; longer ones are refused unread
      if (length < HEADER_BYTES || length > MAX_MESSAGE || left === 0) {
        if (left > 0) resolver.refuseLength(length);
        socket.destroy();
        return;
      }
      if (pending.length < 2 + length) return;
      const answer = resolver.answer(pending.subarray(2, 2 + length));
      pending = pending.subarray(2 + length);
      left -= 1;
      if (answer === undefined) {
        socket.destroy();
        return;
      }
      const head = Buffer.alloc(2);
      head.writeUInt16BE(answer.length, 0);
      // a peer that asks and never reads would make us hold its answers
      if (!socket.write(Buffer.concat([head, answer])) && socket.writableLength > 64 * 1024) {
        socket.destroy();
        return;
      }
    }
  });
}
