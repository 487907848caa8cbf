import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { scalarFault } from "./scalar.ts";
import { type AttributeDef, schemaTable } from "./schema-table.ts";
import { commandLine, emailOf, hostAttributes, hostnameOf, ipOf, portOf, timeOf, whole } from "./value.ts";

const VERSIONS = ["1.8.0", "1.6.0", "1.3.0", "1.1.0"] as const;

function fault(type: string, value: unknown): readonly (string | undefined)[] {
  const def: AttributeDef = {
    type,
    isObject: false,
    isArray: false,
    isRequired: false,
    profiles: undefined,
    enum: undefined,
    sibling: undefined,
    isOpenEnum: false,
    isDeprecated: false,
  };
  return VERSIONS.map((version) => scalarFault(def, value, schemaTable(version))).filter((text) => text !== undefined);
}

const texts = fc.oneof(fc.string(), fc.domain(), fc.ipV4(), fc.ipV6(), fc.emailAddress(), fc.string({ unit: "grapheme" }));

describe("what is put into a typed attribute is of its type in every release", () => {
  it.each([
    ["ip_t", ipOf],
    ["hostname_t", hostnameOf],
    ["email_t", emailOf],
  ] as const)("%s", (type, read) => {
    fc.assert(
      fc.property(texts, (text) => {
        const value = read(text);
        if (value !== undefined) expect(fault(type, value)).toEqual([]);
      }),
      { numRuns: 2_000 },
    );
  });

  it("port_t and the whole numbers", () => {
    fc.assert(
      fc.property(fc.double(), (value) => {
        if (portOf(value) !== undefined) expect(fault("port_t", portOf(value))).toEqual([]);
        if (whole(value) !== undefined) expect(fault("long_t", whole(value))).toEqual([]);
      }),
    );
    expect([portOf(0), portOf(65_535), portOf(65_536), portOf(-1)]).toEqual([0, 65_535, undefined, undefined]);
  });

  it("a host's text always has a place", () => {
    expect(hostAttributes("api.openai.com")).toEqual({ hostname: "api.openai.com" });
    expect(hostAttributes("[::1]")).toEqual({ ip: "::1" });
    expect(hostAttributes("192.0.2.1")).toEqual({ ip: "192.0.2.1" });
    expect(hostAttributes("_srv._tcp.example.com")).toEqual({ name: "_srv._tcp.example.com" });
    expect(hostAttributes("")).toEqual({ name: "" });
  });
});

describe("a command line", () => {
  it("can be told apart from another with the same words", () => {
    expect(commandLine(["npm", "run", "test:unit"])).toBe("npm run test:unit");
    expect(commandLine(["sh", "-c", "echo 'a b'; rm x", ""])).toBe(`sh -c 'echo '\\''a b'\\''; rm x' ''`);
  });
});

describe("a time", () => {
  it("that is none is not made up", () => {
    expect(timeOf("2026-11-21T10:00:00.000Z")).toBe(1_795_255_200_000);
    expect(timeOf("yesterday")).toBeUndefined();
  });
});
