import { isIP } from "node:net";
import { AppError } from "../base/error.ts";

export type OriginRules = {
  /** names that this server may be called by, beside loopback; lower case, without port */
  readonly allowedHosts: readonly string[];
  /** origins of pages that may call, `https://console.example` */
  readonly allowedOrigins: readonly string[];
};

export type OriginFacts = {
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly secFetchSite: string | undefined;
  /** our end of the connection; absent on a Unix socket */
  readonly localAddress: string | undefined;
};

/**
 * Turns away what a page of somebody else's makes a browser send. A name that was rebound to our address shows in `Host`, since
 * the browser puts the page's own name there; a page that calls across origins shows in `Origin`, or in `Sec-Fetch-Site` where
 * the browser sends no `Origin` (an image, a script).
 * @throws AppError FORBIDDEN
 */
export function checkOrigin(facts: OriginFacts, rules: OriginRules): void {
  const host = facts.localAddress === undefined ? undefined : checkHost(facts, rules);
  if (facts.origin !== undefined) {
    if (rules.allowedOrigins.includes(facts.origin)) return;
    if (host !== undefined && (facts.origin === `http://${host}` || facts.origin === `https://${host}`)) return;
    throw new AppError("FORBIDDEN", `pages of ${facts.origin.slice(0, 200)} may not call this server`, {
      hint: "name the origin in [server] allowed_origins",
    });
  }
  if (facts.secFetchSite === "cross-site" || facts.secFetchSite === "same-site") {
    throw new AppError("FORBIDDEN", "a page of another site may not call this server");
  }
}

function checkHost(facts: OriginFacts, rules: OriginRules): string {
  const host = facts.host?.toLowerCase() ?? "";
  const name = hostName(host);
  if (name !== undefined && (isLoopbackName(name) || rules.allowedHosts.includes(name))) return host;
  // an address cannot be rebound: it is the one that was connected to, or nonsense
  if (name !== undefined && isIP(name) !== 0 && name === plainAddress(facts.localAddress ?? "")) return host;
  throw new AppError("FORBIDDEN", `this server does not answer for the host ${JSON.stringify(host.slice(0, 200))}`, {
    hint: "call it by localhost, by its address, or by the name that it was given with --host",
  });
}

/** `127.0.0.1:80` → `127.0.0.1`, `[::1]:80` → `::1`; undefined for what is no host. */
export function hostName(host: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s/@?#]+))(?::\d{1,5})?$/i.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

export function isLoopbackName(name: string): boolean {
  return name === "localhost" || isLoopbackAddress(name);
}

export function isLoopbackAddress(address: string): boolean {
  const plain = plainAddress(address);
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
}

/** An IPv4 address that came in IPv6 clothes, undressed. */
export function plainAddress(address: string): string {
  return address.toLowerCase().startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}
