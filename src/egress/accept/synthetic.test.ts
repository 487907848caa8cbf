import { expect, test } from "vitest";
import { parseHost, type CanonicalHost } from "../../policy/host.ts";
import { SyntheticAddresses } from "./synthetic.ts";

function host(text: string): CanonicalHost {
  const parsed = parseHost(text);
  if (parsed.kind === "invalid") throw new Error(parsed.reason);
  return parsed;
}

test("a name keeps its address, and the address leads back to it", () => {
  const names = new SyntheticAddresses();
  const first = names.assign(host("a.com"));
  expect(first).toEqual({ address: "198.18.0.1", fresh: true });
  expect(names.assign(host("b.com")).address).toBe("198.18.0.2");
  expect(names.assign(host("A.com."))).toEqual({ address: "198.18.0.1", fresh: false });
  expect(names.nameOf("198.18.0.1")?.text).toBe("a.com");
  for (const other of ["198.18.0.3", "198.17.0.1", "198.20.0.1", "93.184.216.34", "::1", "198.18.0.1.1", "junk"])
    expect(names.nameOf(other)).toBeUndefined();
});

test("4,096 names are held; the least recently used goes, and its address is not given out again soon", () => {
  const names = new SyntheticAddresses();
  names.assign(host("keep.com"));
  names.assign(host("lose.com"));
  for (let i = 0; i < 4094; i += 1) names.assign(host(`n${i}.com`));
  expect(names.nameOf("198.18.0.1")?.text).toBe("keep.com");
  const next = names.assign(host("new.com"));
  expect(names.nameOf("198.18.0.2")).toBeUndefined();
  expect(next.address).toBe("198.18.16.1");
  expect(names.assign(host("lose.com")).address).not.toBe("198.18.0.2");
  expect(names.nameOf("198.18.0.1")?.text).toBe("keep.com");
});

test("the whole network is walked before an address returns, and every address is unique among held names", () => {
  const names = new SyntheticAddresses();
  names.assign(host("old.com"));
  for (let i = 0; i < 131_069; i += 1) {
    names.assign(host(`x${i}.com`));
    // stays in use, so its address may not be given to another
    if (i % 1000 === 0) names.assign(host("old.com"));
  }
  expect(names.nameOf("198.18.0.1")?.text).toBe("old.com");
  expect(names.assign(host("wrapped.com")).address).toBe("198.18.0.2");
});
