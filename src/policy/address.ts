import { formatIpv4, formatIpv6, parseIpv4, parseIpv6, type Ipv6Groups } from "./ip.ts";

/** Closed list of what an IP address can be; only `public` is reachable by default. */
export const ADDRESS_CLASSES = [
  "public",
  "loopback",
  "private",
  "link-local",
  "metadata",
  "cgnat",
  "multicast",
  "reserved",
  "unspecified",
  "broadcast",
  "documentation",
  "benchmark",
  "embedded-ipv4",
  "own-interface",
] as const;
export type AddressClass = (typeof ADDRESS_CLASSES)[number];

type Range = { readonly base: string; readonly bits: number; readonly class: AddressClass };

/**
 * Where clouds serve credentials and configuration to whoever asks from the inside. Many lie outside the link-local range, and
 * some in ranges that look private or public, so they are listed one by one.
 */
export const METADATA_ADDRESSES = [
  "169.254.169.254", // AWS, Azure, GCP, DigitalOcean, Oracle, OpenStack, Hetzner, IBM and others
  "169.254.169.253", // AWS resolver
  "169.254.169.250",
  "169.254.169.251", // AWS Windows licensing
  "169.254.169.123", // AWS time
  "169.254.170.2",
  "169.254.170.23", // AWS ECS task and EKS pod credentials
  "169.254.42.42", // Scaleway
  "169.254.0.23", // Tencent
  "100.100.100.200", // Alibaba
  "100.96.0.96", // Volcengine
  "168.63.129.16", // Azure wire server: a public address
  "192.0.0.192", // Oracle Classic
  "192.80.8.124", // Equinix Metal: a public address
  "fd00:ec2::254",
  "fd00:ec2::253",
  "fd00:ec2::123",
  "fd00:ec2::23", // AWS
  "fd20:ce::254", // GCP
  "fd00:42::42", // Scaleway
  "fd00:a9fe:a9fe::1", // Linode
  "fe80::a9fe:a9fe", // OpenStack
] as const;

/** IANA IPv4 special-purpose registry; the first that fits decides. */
const IPV4_RANGES: readonly Range[] = [
  { base: "0.0.0.0", bits: 32, class: "unspecified" },
  { base: "0.0.0.0", bits: 8, class: "reserved" },
  { base: "10.0.0.0", bits: 8, class: "private" },
  { base: "100.64.0.0", bits: 10, class: "cgnat" },
  { base: "127.0.0.0", bits: 8, class: "loopback" },
  { base: "169.254.0.0", bits: 16, class: "link-local" },
  { base: "172.16.0.0", bits: 12, class: "private" },
  { base: "192.0.0.0", bits: 24, class: "reserved" },
  { base: "192.0.2.0", bits: 24, class: "documentation" },
  { base: "192.88.99.0", bits: 24, class: "reserved" },
  { base: "192.168.0.0", bits: 16, class: "private" },
  // also the range that sandbox names resolve to, so dialling it could only come back to us
  { base: "198.18.0.0", bits: 15, class: "benchmark" },
  { base: "198.51.100.0", bits: 24, class: "documentation" },
  { base: "203.0.113.0", bits: 24, class: "documentation" },
  { base: "224.0.0.0", bits: 4, class: "multicast" },
  { base: "255.255.255.255", bits: 32, class: "broadcast" },
  { base: "240.0.0.0", bits: 4, class: "reserved" },
];

/** IANA IPv6 special-purpose registry; what is not in 2000::/3 and not named is reserved. */
const IPV6_RANGES: readonly Range[] = [
  { base: "::", bits: 128, class: "unspecified" },
  { base: "::1", bits: 128, class: "loopback" },
  { base: "fc00::", bits: 7, class: "private" },
  { base: "fe80::", bits: 10, class: "link-local" },
  { base: "fec0::", bits: 10, class: "private" }, // site-local, RFC 3879
  { base: "ff00::", bits: 8, class: "multicast" },
  { base: "2001:2::", bits: 48, class: "benchmark" },
  { base: "2001:db8::", bits: 32, class: "documentation" },
  { base: "3fff::", bits: 20, class: "documentation" },
  { base: "2001::", bits: 23, class: "reserved" },
  { base: "2000::", bits: 3, class: "public" },
  { base: "::", bits: 0, class: "reserved" },
];

type Compiled = { readonly base: bigint; readonly shift: bigint; readonly class: AddressClass };
const compile =
  (width: number, toNumber: (text: string) => bigint | undefined) =>
  (range: Range): Compiled => {
    const shift = BigInt(width - range.bits);
    return { base: (toNumber(range.base) ?? 0n) >> shift, shift, class: range.class };
  };
const ipv4Table = IPV4_RANGES.map(compile(32, (text) => bigOf(parseIpv4(text))));
const ipv6Table = IPV6_RANGES.map(compile(128, (text) => numberOf(parseIpv6(text))));
const metadata = new Set(METADATA_ADDRESSES.map((text) => canonicalAddress(text)));

/**
 * What an address is. An IPv6 address that carries an IPv4 one (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) is
 * what the inner address is, and never `public`: then it is `embedded-ipv4`. A text that is no address is `reserved`.
 */
export function classifyAddress(ip: string): AddressClass {
  const v4 = parseIpv4(ip);
  if (v4 !== undefined) return classifyIpv4(v4);
  const groups = parseIpv6(ip);
  if (groups === undefined) return "reserved";
  if (metadata.has(formatIpv6(groups))) return "metadata";
  const inner = embeddedIpv4(groups);
  if (inner.length > 0) return inner.map(classifyIpv4).find((found) => found !== "public") ?? "embedded-ipv4";
  return lookUp(ipv6Table, numberOf(groups) ?? 0n);
}

/** The address itself, then the IPv4 addresses embedded in it, canonical; empty for a text that is no address. */
export function reachedAddresses(ip: string): readonly string[] {
  const own = canonicalAddress(ip);
  if (own === undefined) return [];
  const groups = parseIpv6(own);
  return groups === undefined ? [own] : [own, ...embeddedIpv4(groups).map(formatIpv4)];
}

/** The one spelling of an address literal, undefined for anything else. */
export function canonicalAddress(ip: string): string | undefined {
  if (parseIpv4(ip) !== undefined) return ip;
  const groups = parseIpv6(ip);
  return groups === undefined ? undefined : formatIpv6(groups);
}

function classifyIpv4(value: number): AddressClass {
  return metadata.has(formatIpv4(value)) ? "metadata" : lookUp(ipv4Table, BigInt(value));
}

/** The IPv4 addresses in it, in every place where a translator may look for one. */
function embeddedIpv4(groups: Ipv6Groups): readonly number[] {
  const [a, b, c, d, e, f, g, h] = groups;
  const last = pair(g, h);
  const zeros = a === 0 && b === 0 && c === 0 && d === 0;
  if (zeros && e === 0 && f === 0xffff) return [last]; // mapped, RFC 4291 §2.5.5.2
  if (zeros && e === 0xffff && f === 0) return [last]; // translated, RFC 2765
  if (zeros && e === 0 && f === 0 && last > 1) return [last]; // compatible, RFC 4291 §2.5.5.1
  if (a === 0x64 && b === 0xff9b && c === 0 && d === 0 && e === 0 && f === 0) return [last]; // RFC 6052
  // RFC 8215 leaves the prefix length to the site: at /96 the address stands last, at /48 around the reserved byte 8 (RFC 6052 §2.2)
  if (a === 0x64 && b === 0xff9b && c === 1) return [last, pair(d, ((e & 0xff) << 8) | (f >>> 8))];
  if (a === 0x2002) return [pair(b, c)]; // 6to4, RFC 3056
  if (a === 0x2001 && b === 0) return [(last ^ 0xffffffff) >>> 0, pair(c, d)]; // Teredo client and server, RFC 4380
  if ((e & 0xfcff) === 0 && f === 0x5efe) return [last]; // ISATAP in any prefix, RFC 5214
  return [];
}

function pair(high: number, low: number): number {
  return high * 0x10000 + low;
}

function lookUp(table: readonly Compiled[], value: bigint): AddressClass {
  return table.find((range) => value >> range.shift === range.base)?.class ?? "public";
}

function bigOf(value: number | undefined): bigint | undefined {
  return value === undefined ? undefined : BigInt(value);
}

function numberOf(groups: Ipv6Groups | undefined): bigint | undefined {
  return groups?.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n);
}
