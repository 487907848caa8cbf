import { createSecureContext, type SecureContext } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { Authority } from "./authority.ts";

/** Server contexts by host: least recently used go first. Minting is synchronous, so the same host is never minted twice at once. */
export class ServerContexts {
  readonly #authority: Authority;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #capacity: number;
  readonly #entries = new Map<string, { readonly context: SecureContext; readonly until: number }>();

  constructor(authority: Authority, clock: Clock, metrics: Metrics, capacity: number) {
    this.#authority = authority;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** needs no minting */
  has(host: string): boolean {
    return (this.#entries.get(host)?.until ?? 0) > this.#clock.now();
  }

  /** The context whose leaf names `host` (canonical text). */
  for(host: string): SecureContext {
    const known = this.#entries.get(host);
    if (known !== undefined && known.until > this.#clock.now()) {
      this.#entries.delete(host);
      this.#entries.set(host, known);
      return known.context;
    }
    const leaf = this.#authority.leaf(host);
    const context = createSecureContext({ key: leaf.key, cert: leaf.certificate, minVersion: "TLSv1.2" });
    this.#entries.delete(host);
    // half of the validity left: a session that begins now stays valid
    this.#entries.set(host, { context, until: (this.#clock.now() + leaf.notAfter) / 2 });
    if (this.#entries.size > this.#capacity) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    this.#metrics.certificateMinted();
    this.#metrics.certificateCache(this.#entries.size);
    return context;
  }
}
