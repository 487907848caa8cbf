/** Closed list of what an IP address can be; only `public` is reachable by default. */
export const ADDRESS_CLASSES = [
  "public", "loopback", "private", "link-local", "metadata", "cgnat", "multicast", "reserved", "unspecified", "broadcast",
  "documentation", "benchmark", "embedded-ipv4", "own-interface",
] as const;
export type AddressClass = (typeof ADDRESS_CLASSES)[number];
