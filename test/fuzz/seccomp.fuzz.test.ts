import fc from "fast-check";
import { expect, test } from "vitest";
import { AUDIT_ARCH, buildProgram, encodeProgram, verdictOf, X32_BIT } from "../../src/backends/bubblewrap/seccomp.ts";
import { syscallNames, syscallNumber, type Architecture } from "../../src/backends/bubblewrap/syscalls.ts";
import { interpret } from "../support/bpf.ts";
import { fuzz } from "../support/fuzz.ts";

/** The filter's bytes, run as the kernel runs them, against the table that says what they should mean. */
const FILTERS = (["x64", "arm64"] as const).map((architecture: Architecture) => ({
  architecture,
  bytes: encodeProgram(buildProgram(architecture)),
  names: new Map(syscallNames.map((name) => [syscallNumber(name, architecture), name])),
}));

const word = fc.oneof(
  fc.nat(0xffffffff),
  fc.nat(64),
  // one bit, two bits, all but one: flags
  fc.tuple(fc.nat(31), fc.nat(31), fc.boolean()).map(([a, b, inverted]) => (((1 << a) | (1 << b)) ^ (inverted ? -1 : 0)) >>> 0),
  fc.constantFrom(0x5412, 0x541c, 0x5423, 0x5413, 0x7e020000, 0x80, 0x40000, 0xffffffff, 262, 132, 58, 17, 16, 10, 6, 2, 1),
);
const number = fc.oneof(
  fc.nat(600),
  fc.constantFrom(...FILTERS.flatMap(({ names }) => [...names.keys()].filter((one) => one !== undefined))),
  fc.nat(0xffffffff),
  fc.nat(600).map((low) => X32_BIT + low),
);
const architecture = fc.oneof(
  { weight: 6, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constantFrom(AUDIT_ARCH.x64, AUDIT_ARCH.arm64, 0x40000003, 0x40000028) },
  { weight: 1, arbitrary: fc.nat(0xffffffff) },
);

test("the program says of every call what the table says", async () => {
  const seen = { allow: 0, errno: 0, kill: 0 };
  const total = await fuzz(
    fc.property(fc.constantFrom(...FILTERS), number, fc.array(word, { maxLength: 6 }), architecture, (filter, nr, args, foreign) => {
      const own = AUDIT_ARCH[filter.architecture];
      const by = foreign ?? own;
      const isKilled = by !== own || (filter.architecture === "x64" && nr >= X32_BIT);
      const wanted = isKilled ? { kind: "kill" as const } : verdictOf(filter.names.get(nr) ?? "other", args);
      seen[wanted.kind] += 1;
      expect(interpret(filter.bytes, { architecture: by, number: nr, args })).toEqual(wanted);
    }),
    { runs: 20_000 },
  );
  for (const kind of ["allow", "errno", "kill"] as const) expect(seen[kind], kind).toBeGreaterThan(total / 50);
});
