import { describe, expect, test } from "vitest";
import { interpret } from "../../../test/support/bpf.ts";
import { AUDIT_ARCH, buildProgram, encodeProgram, verdictOf, X32_BIT } from "./seccomp.ts";
import { syscallNames, syscallNumber, type Architecture } from "./syscalls.ts";

const interesting = [
  0, 1, 2, 5, 10, 16, 17, 31, 38, 40, 0x80, 0x11, 0x5411, 0x5412, 0x5413, 0x541c, 0x5423, 0x40000, 0x40001, 0x20000, 0x2000000, 0x4000000,
  0x10000000, 0x20000000, 0x40000000, 0x80000000, 0xffffffff, 0x01200011, 0x7e020000, 0x3d0f00,
];

describe.each(["x64", "arm64"] as const)("the filter for %s", (architecture: Architecture) => {
  const bytes = encodeProgram(buildProgram(architecture));
  const named = new Map(
    syscallNames.flatMap((name) => (syscallNumber(name, architecture) === undefined ? [] : [[syscallNumber(name, architecture), name]])),
  );

  test("no number is in the table twice", () => {
    expect(named.size).toBe(syscallNames.filter((name) => syscallNumber(name, architecture) !== undefined).length);
  });

  test("says of every call number and of every interesting argument what the rules say", () => {
    let compared = 0;
    for (let number = 0; number < 520; number += 1) {
      const name = named.get(number) ?? "other";
      for (const a of interesting) {
        const others = name === "other" || number % 7 === 0 ? [0] : interesting;
        for (const b of others) {
          const args = [a, b, b];
          expect(interpret(bytes, { architecture: AUDIT_ARCH[architecture], number, args })).toEqual(verdictOf(name, args));
          compared += 1;
        }
      }
    }
    expect(compared).toBeGreaterThan(50_000);
  });

  test("a foreign architecture is killed whatever it calls", () => {
    for (const foreign of [0x40000003, 0x40000028, 0, architecture === "x64" ? AUDIT_ARCH.arm64 : AUDIT_ARCH.x64])
      expect(interpret(bytes, { architecture: foreign, number: 1, args: [] })).toEqual({ kind: "kill" });
  });

  test("fits the kernel's limit", () => {
    expect(bytes.length / 8).toBeLessThanOrEqual(4096);
  });
});

test("x32 calls are killed on x86-64", () => {
  const bytes = encodeProgram(buildProgram("x64"));
  for (const number of [X32_BIT, X32_BIT + 41, 0xffffffff])
    expect(interpret(bytes, { architecture: AUDIT_ARCH.x64, number, args: [] })).toEqual({ kind: "kill" });
});

test("ordinary forks and threads are allowed, namespaces are not", () => {
  const CLONE_THREAD_FLAGS = 0x3d0f00;
  expect(verdictOf("clone", [CLONE_THREAD_FLAGS])).toEqual({ kind: "allow" });
  expect(verdictOf("clone", [0x01200011])).toEqual({ kind: "allow" });
  expect(verdictOf("clone", [0x10000011])).toEqual({ kind: "errno", errno: 1 });
  expect(verdictOf("unshare", [0x10000000])).toEqual({ kind: "errno", errno: 1 });
  expect(verdictOf("clone3", [])).toEqual({ kind: "errno", errno: 38 });
  expect(verdictOf("mount", [])).toEqual({ kind: "errno", errno: 1 });
  expect(verdictOf("socket", [16, 3, 15])).toEqual({ kind: "errno", errno: 97 });
});
