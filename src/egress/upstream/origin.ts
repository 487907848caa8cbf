import { isIP } from "node:net";
import { createSecureContext, type SecureContext } from "node:tls";
import { AppError } from "../../base/error.ts";
import { parseHost, type CanonicalHost } from "../../policy/host.ts";
import type { Upstream } from "../options.ts";

/** Where an exchange's bytes really go: the host itself, or the origin that the operator put in its place. */
export type Origin = {
  /** equal for exchanges that may share a connection, within one policy generation */
  readonly key: string;
  readonly scheme: "http" | "https";
  /** name or address that is resolved and dialled */
  readonly host: CanonicalHost;
  readonly port: number;
  /** name that the certificate must fit and that SNI carries; empty for an address */
  readonly servername: string;
  /** the operator named it: private and loopback addresses are permitted */
  readonly trusted: boolean;
  /** may real keys travel there? Verified TLS, or plain HTTP that does not leave this machine */
  readonly carriesKeys: boolean;
  readonly context: SecureContext | undefined;
};

/** What one policy generation sends where. */
export type OriginSource = {
  readonly upstreams: readonly Upstream[];
  readonly origins: Map<string, Origin>;
};

const MAX_ORIGINS = 1000;

/** Finds origins; one per gateway, since contexts with their roots are dear. */
export class Origins {
  readonly #rootsPem: string;
  readonly #contexts = new Map<string, SecureContext>();

  /** @param rootsPem every root that upstreams are verified against */
  constructor(rootsPem: string) {
    this.#rootsPem = rootsPem;
  }

  /** @throws AppError CONFIG_INVALID for an upstream whose url cannot be used */
  find(from: OriginSource, host: CanonicalHost, port: number, scheme: "http" | "https"): Origin {
    const key = `${scheme}://${host.text}:${port}`;
    let origin = from.origins.get(key);
    if (origin === undefined) {
      origin = this.#make(from.upstreams, host, port, scheme);
      // the sandbox chooses names; forgetting them all costs a moment, holding them all costs memory
      if (from.origins.size >= MAX_ORIGINS) from.origins.clear();
      from.origins.set(key, origin);
    }
    return origin;
  }

  #make(upstreams: readonly Upstream[], host: CanonicalHost, port: number, scheme: "http" | "https"): Origin {
    const upstream = upstreams.find(
      (candidate) => candidate.host === host.text && (candidate.port === undefined || candidate.port === port),
    );
    if (upstream === undefined) {
      return {
        key: `${scheme}://${host.text}:${port}`,
        scheme,
        host,
        port,
        servername: host.kind === "name" ? host.text : "",
        trusted: false,
        carriesKeys: scheme === "https",
        context: scheme === "https" ? this.#context("") : undefined,
      };
    }
    const { url } = upstream;
    const own = parseHost(url.hostname.replace(/^\[|\]$/g, ""));
    if (own.kind === "invalid") throw new AppError("CONFIG_INVALID", `the upstream ${url.origin} has no usable host: it ${own.reason}`);
    const secure = url.protocol === "https:";
    return {
      key: `${host.text}:${port}>${url.origin}>${upstream.ca ?? ""}`,
      scheme: secure ? "https" : "http",
      host: own,
      port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
      servername: own.kind === "name" ? own.text : "",
      trusted: true,
      carriesKeys: secure || isLoopback(own.text),
      context: secure ? this.#context(upstream.ca ?? "") : undefined,
    };
  }

  #context(extra: string): SecureContext {
    let context = this.#contexts.get(extra);
    if (context === undefined) {
      context = createSecureContext({ ca: `${this.#rootsPem}${extra}`, minVersion: "TLSv1.2" });
      this.#contexts.set(extra, context);
    }
    return context;
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
