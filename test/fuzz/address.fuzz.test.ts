import { BlockList } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { SyntheticAddresses } from "../../src/egress/accept/synthetic.ts";
import { canonicalAddress, classifyAddress, METADATA_ADDRESSES, reachedAddresses } from "../../src/policy/address.ts";
import { decideAddress } from "../../src/policy/decide-address.ts";
import { parseHost } from "../../src/policy/host.ts";
import { fuzz } from "../support/fuzz.ts";

/** Everything that is not public, in Node's own notation and matching: the reference for what may never be dialled. */
const closed = new BlockList();
for (const [base, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const)
  closed.addSubnet(base, bits, "ipv4");
for (const address of METADATA_ADDRESSES) closed.addAddress(address, address.includes(":") ? "ipv6" : "ipv4");
const closed6 = new BlockList();
// all but 2000::/3, and what of that carries or stands for something else
for (const [base, bits] of [
  ["::", 3],
  ["4000::", 2],
  ["8000::", 1],
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
] as const)
  closed6.addSubnet(base, bits, "ipv6");

const byte = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 10, 64, 100, 127, 168, 169, 172, 192, 198, 224, 254, 255));
const v4 = fc.tuple(byte, byte, byte, byte).map((parts) => parts.join("."));
const group = fc.oneof(
  fc.nat(0xffff),
  fc.constantFrom(0, 0, 0, 1, 0xffff, 0x64, 0xff9b, 0x2001, 0x2002, 0xdb8, 0xfe80, 0xfd00, 0xec2, 0x5efe, 0x7f00, 0xa9fe, 0x200),
);
const v6 = fc.oneof(
  fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.map((one) => one.toString(16)).join(":")),
  v4.map((inner) => `::ffff:${inner}`),
  v4.map((inner) => `64:ff9b::${inner}`),
  v4.map((inner) => `::${inner}`),
  fc.ipV6(),
);

test("what Node's own lists close is never public, in any family and any embedding; nothing else is closed", async () => {
  const seen = { public: 0, closed: 0 };
  const total = await fuzz(
    fc.property(fc.oneof(v4, v6), (text) => {
      const canonical = canonicalAddress(text);
      if (canonical === undefined) return;
      const found = classifyAddress(text);
      const is4 = !canonical.includes(":");
      const isIsatap = !is4 && /:(?:0?200:|0:)?5efe:/.test(`:${canonical}`);
      const isClosed = is4 ? closed.check(canonical, "ipv4") : closed6.check(canonical, "ipv6") || closed.check(canonical, "ipv6");
      if (isClosed) expect(found, text).not.toBe("public");
      else if (!isIsatap && reachedAddresses(text).length === 1) expect(found, text).toBe("public");
      seen[found === "public" ? "public" : "closed"] += 1;
      // spelled otherwise it is the same
      expect(classifyAddress(canonical)).toBe(found);
    }),
    { runs: 20_000 },
  );
  expect(Math.min(seen.public, seen.closed)).toBeGreaterThan(total / 20);
});

test("an address is dialled only if it is public, whoever asks, and never one's own", async () => {
  const ref = { id: "t", version: 1 };
  const host = parseHost("a.example.com");
  if (host.kind === "invalid") throw new Error(host.reason);
  await fuzz(
    fc.property(fc.oneof(v4, v6), fc.boolean(), fc.integer({ min: 1, max: 65_535 }), (address, isOwn, port) => {
      const own = canonicalAddress(address);
      const policy = { ref, ownAddresses: isOwn && own !== undefined ? [own] : [], ownPorts: [port], unsafeAllowPrivate: false };
      const { verdict } = decideAddress(policy, host, address, { port });
      expect(verdict).toBe(!isOwn && classifyAddress(address) === "public" ? "allow" : "deny");
      // not even the operator opens its own control port
      if (isOwn) expect(decideAddress(policy, host, address, { port, trusted: true }).verdict).toBe("deny");
    }),
    { runs: 20_000 },
  );
});

test("no two names ever share an address, and an address never speaks for another name than it was given", async () => {
  const label = fc.nat(9_000).map((n) => `n${n}.example.com`);
  const names = new SyntheticAddresses();
  const given = new Map<string, string>();
  await fuzz(
    fc.property(fc.array(label, { minLength: 1, maxLength: 40 }), fc.tuple(fc.nat(1), byte, byte), (asked, [b, c, d]) => {
      for (const text of asked) {
        const host = parseHost(text);
        if (host.kind === "invalid") throw new Error(host.reason);
        const { address, fresh } = names.assign(host);
        if (!fresh) expect(given.get(text)).toBe(address);
        given.set(text, address);
        expect(names.nameOf(address)?.text).toBe(text);
        expect(address).toMatch(/^198\.1[89]\.\d+\.\d+$/);
      }
      const other = names.nameOf(`198.${18 + b}.${c}.${d}`);
      if (other !== undefined) expect(given.get(other.text)).toBe(`198.${18 + b}.${c}.${d}`);
    }),
    { runs: 3_000 },
  );
});
