declare const canonical: unique symbol;

/** A host name or address in its one canonical spelling; only `parseHost` makes it. Policy and dialer take this, never a raw string. */
export type CanonicalHost = {
  readonly [canonical]: true;
  readonly kind: "name" | "ipv4" | "ipv6";
  /** lower-case ASCII, no trailing dot; IPv6 without brackets in its shortest form */
  readonly text: string;
};
