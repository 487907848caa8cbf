import { parseHost, type CanonicalHost, type HostError } from "./host.ts";

/** A host of a rule: one host, or every name below a suffix (`*.example.com`: any depth, not `example.com` itself). */
export type HostPattern =
  | { readonly kind: "exact"; readonly host: CanonicalHost }
  | { readonly kind: "below"; readonly suffix: CanonicalHost };

/**
 * Reads a host of a rule. A wildcard is one whole left label above a name of at least two labels; `*`, `*.com` and `a*b` are refused,
 * since they cover what nobody meant.
 */
export function parseHostPattern(text: string): HostPattern | HostError {
  if (!text.includes("*")) {
    const host = parseHost(text);
    return host.kind === "invalid" ? host : { kind: "exact", host };
  }
  if (!text.startsWith("*.") || text.indexOf("*", 1) !== -1) {
    return { kind: "invalid", reason: "has a wildcard that is not its whole first label, as in *.example.com" };
  }
  const suffix = parseHost(text.slice(2));
  if (suffix.kind === "invalid") return suffix;
  if (suffix.kind !== "name") return { kind: "invalid", reason: "has a wildcard over addresses" };
  if (!suffix.text.includes(".")) return { kind: "invalid", reason: "has a wildcard over a whole top-level domain" };
  return { kind: "below", suffix };
}

export function matchesHost(pattern: HostPattern, host: CanonicalHost): boolean {
  if (pattern.kind === "exact") return pattern.host.kind === host.kind && pattern.host.text === host.text;
  return host.kind === "name" && isBelow(host.text, pattern.suffix.text);
}

/** Does every host of `inner` match `outer` too? */
export function coversPattern(outer: HostPattern, inner: HostPattern): boolean {
  if (inner.kind === "exact") return matchesHost(outer, inner.host);
  return outer.kind === "below" && (inner.suffix.text === outer.suffix.text || isBelow(inner.suffix.text, outer.suffix.text));
}

/** Is there a host that both match? */
export function patternsOverlap(a: HostPattern, b: HostPattern): boolean {
  return coversPattern(a, b) || coversPattern(b, a);
}

export function formatHostPattern(pattern: HostPattern): string {
  return pattern.kind === "exact" ? pattern.host.text : `*.${pattern.suffix.text}`;
}

/** Label-wise: the dot before the suffix belongs to the comparison, so `evilexample.com` is not below `example.com`. */
function isBelow(name: string, suffix: string): boolean {
  return name.length > suffix.length + 1 && name.endsWith(`.${suffix}`);
}
