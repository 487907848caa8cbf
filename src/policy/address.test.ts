import { describe, expect, it } from "vitest";
import { ADDRESS_CLASSES, canonicalAddress, classifyAddress, METADATA_ADDRESSES, reachedAddresses, type AddressClass } from "./address.ts";

/** Last before, first, last, first after of every range: the boundaries are where an off-by-one opens a hole. */
const boundaries: readonly (readonly [string, AddressClass])[] = [
  ["0.0.0.0", "unspecified"],
  ["0.0.0.1", "reserved"],
  ["0.255.255.255", "reserved"],
  ["1.0.0.0", "public"],
  ["9.255.255.255", "public"],
  ["10.0.0.0", "private"],
  ["10.255.255.255", "private"],
  ["11.0.0.0", "public"],
  ["100.63.255.255", "public"],
  ["100.64.0.0", "cgnat"],
  ["100.127.255.255", "cgnat"],
  ["100.128.0.0", "public"],
  ["126.255.255.255", "public"],
  ["127.0.0.0", "loopback"],
  ["127.0.0.1", "loopback"],
  ["127.255.255.255", "loopback"],
  ["128.0.0.0", "public"],
  ["169.253.255.255", "public"],
  ["169.254.0.0", "link-local"],
  ["169.254.255.255", "link-local"],
  ["169.255.0.0", "public"],
  ["172.15.255.255", "public"],
  ["172.16.0.0", "private"],
  ["172.31.255.255", "private"],
  ["172.32.0.0", "public"],
  ["191.255.255.255", "public"],
  ["192.0.0.0", "reserved"],
  ["192.0.0.255", "reserved"],
  ["192.0.1.0", "public"],
  ["192.0.1.255", "public"],
  ["192.0.2.0", "documentation"],
  ["192.0.2.255", "documentation"],
  ["192.0.3.0", "public"],
  ["192.88.98.255", "public"],
  ["192.88.99.0", "reserved"],
  ["192.88.99.255", "reserved"],
  ["192.88.100.0", "public"],
  ["192.167.255.255", "public"],
  ["192.168.0.0", "private"],
  ["192.168.255.255", "private"],
  ["192.169.0.0", "public"],
  ["198.17.255.255", "public"],
  ["198.18.0.0", "benchmark"],
  ["198.19.255.255", "benchmark"],
  ["198.20.0.0", "public"],
  ["198.51.99.255", "public"],
  ["198.51.100.0", "documentation"],
  ["198.51.100.255", "documentation"],
  ["198.51.101.0", "public"],
  ["203.0.112.255", "public"],
  ["203.0.113.0", "documentation"],
  ["203.0.113.255", "documentation"],
  ["203.0.114.0", "public"],
  ["223.255.255.255", "public"],
  ["224.0.0.0", "multicast"],
  ["239.255.255.255", "multicast"],
  ["240.0.0.0", "reserved"],
  ["255.255.255.254", "reserved"],
  ["255.255.255.255", "broadcast"],
  ["::", "unspecified"],
  ["::1", "loopback"],
  ["1fff:ffff::1", "reserved"],
  ["2000::", "public"],
  ["3ffe:ffff::1", "public"],
  ["3fff::", "documentation"],
  ["3fff:fff:ffff::", "documentation"],
  ["3fff:1000::", "public"],
  ["4000::", "reserved"],
  ["2001:1ff:ffff::", "reserved"],
  ["2001:200::", "public"],
  ["2001:2::", "benchmark"],
  ["2001:2:0:ffff::", "benchmark"],
  ["2001:2:1::", "reserved"],
  ["2001:db7:ffff::", "public"],
  ["2001:db8::", "documentation"],
  ["2001:db8:ffff::", "documentation"],
  ["2001:db9::", "public"],
  ["2606:4700::1111", "public"],
  ["2a00:1450:4001::200e", "public"],
  ["fbff:ffff::1", "reserved"],
  ["fc00::", "private"],
  ["fdff:ffff::", "private"],
  ["fe00::", "reserved"],
  ["fe7f:ffff::", "reserved"],
  ["fe80::", "link-local"],
  ["febf:ffff::", "link-local"],
  ["fec0::", "private"],
  ["feff:ffff::", "private"],
  ["ff00::", "multicast"],
  ["ffff::", "multicast"],
  ["100::1", "reserved"],
  ["5f00::1", "reserved"],
];

/** Ways to carry an IPv4 address, and what the inner one makes of them. */
const carriers: readonly (readonly [string, (hex: readonly [string, string]) => string])[] = [
  ["mapped", ([a, b]) => `::ffff:${a}:${b}`],
  ["compatible", ([a, b]) => `::${a}:${b}`],
  ["translated", ([a, b]) => `::ffff:0:${a}:${b}`],
  ["NAT64", ([a, b]) => `64:ff9b::${a}:${b}`],
  ["local NAT64 at /96", ([a, b]) => `64:ff9b:1:808:808:800:${a}:${b}`],
  ["6to4", ([a, b]) => `2002:${a}:${b}::1`],
  ["Teredo server", ([a, b]) => `2001:0:${a}:${b}::f7f7:f7f7`],
  ["ISATAP", ([a, b]) => `2606:4700::5efe:${a}:${b}`],
  ["ISATAP, universal", ([a, b]) => `2606:4700::200:5efe:${a}:${b}`],
];
const inner: readonly (readonly [string, readonly [string, string], AddressClass])[] = [
  ["127.0.0.1", ["7f00", "1"], "loopback"],
  ["10.0.0.1", ["a00", "1"], "private"],
  ["169.254.169.254", ["a9fe", "a9fe"], "metadata"],
  ["8.8.8.8", ["808", "808"], "embedded-ipv4"],
];

describe("classifyAddress", () => {
  it.each(boundaries)("%s is %s", (address, expected) => {
    expect(classifyAddress(address)).toBe(expected);
  });

  it.each(METADATA_ADDRESSES.map((address) => [address]))("%s is metadata, however it is spelled", (address) => {
    expect(classifyAddress(address)).toBe("metadata");
    expect(classifyAddress(address.toUpperCase())).toBe("metadata");
  });

  it.each(inner)("%s inside an IPv6 address is never public", (_, hex, expected) => {
    for (const [name, carry] of carriers) {
      const address = carry(hex);
      expect(classifyAddress(address), `${name} ${address}`).toBe(expected);
      expect(reachedAddresses(address).length, name).toBeGreaterThan(1);
    }
  });

  it("finds the client of a Teredo address, which is written inverted", () => {
    expect(reachedAddresses("2001:0:808:808::80ff:fffe")).toContain("127.0.0.1");
    expect(classifyAddress("2001:0:808:808::80ff:fffe")).toBe("loopback");
  });

  it("finds the address of a local NAT64 prefix of 48 bits", () => {
    // RFC 6052 §2.2: 7f00 | u=00 00 | 01
    expect(classifyAddress("64:ff9b:1:7f00:0:100:808:808")).toBe("loopback");
  });

  it.each([[""], ["localhost"], ["127.1"], ["0x7f.0.0.1"], ["fe80::1%eth0"], ["[::1]"], ["1.2.3.4 "], ["::1\n"]])(
    "%j is no address, so it is reserved",
    (text) => {
      expect(classifyAddress(text)).toBe("reserved");
      expect(reachedAddresses(text)).toEqual([]);
      expect(canonicalAddress(text)).toBeUndefined();
    },
  );

  it("reaches every class but the two that only policy can know or that nothing has", () => {
    const seen = new Set([...boundaries.map(([address]) => address), ...METADATA_ADDRESSES, "::ffff:8.8.8.8"].map(classifyAddress));
    expect(ADDRESS_CLASSES.filter((name) => !seen.has(name))).toEqual(["own-interface"]);
  });
});
