import { describe, expect, test } from "vitest";
import { AUDIT_ARCH, BPF, buildProgram, encodeProgram, RET, verdictOf, X32_BIT, type Verdict } from "./seccomp.ts";
import { syscallNames, syscallNumber, type Architecture } from "./syscalls.ts";

type Call = { readonly architecture: number; readonly number: number; readonly args: readonly number[] };

/** The kernel's view: runs the encoded bytes over one call, and refuses what the kernel's checker would refuse. */
function interpret(bytes: Buffer, call: Call): Verdict {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.number >>> 0, 0);
  data.writeUInt32LE(call.architecture >>> 0, 4);
  for (const [index, value] of call.args.entries()) data.writeUInt32LE(value >>> 0, 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; at < bytes.length / 8; at += 1) {
    const code = bytes.readUInt16LE(at * 8);
    const [jt, jf, k] = [bytes.readUInt8(at * 8 + 2), bytes.readUInt8(at * 8 + 3), bytes.readUInt32LE(at * 8 + 4)];
    switch (code) {
      case BPF.loadWord:
        if (k % 4 !== 0) throw new Error("unaligned load");
        accumulator = data.readUInt32LE(k);
        break;
      case BPF.jumpEqual:
        at += accumulator === k ? jt : jf;
        break;
      case BPF.jumpAtLeast:
        at += accumulator >= k ? jt : jf;
        break;
      case BPF.jumpAnyBit:
        at += (accumulator & k) !== 0 ? jt : jf;
        break;
      case BPF.return:
        if (k === RET.allow) return { kind: "allow" };
        if (k === RET.killProcess) return { kind: "kill" };
        return { kind: "errno", errno: k & 0xffff };
      default:
        throw new Error(`unknown instruction ${code}`);
    }
  }
  throw new Error("the program ran past its end");
}

const interesting = [
  0, 1, 2, 5, 10, 16, 17, 31, 38, 40, 0x80, 0x11, 0x5411, 0x5412, 0x5413, 0x541c, 0x40000, 0x40001, 0x20000, 0x2000000, 0x4000000,
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
