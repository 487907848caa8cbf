import { describe, expect, it } from "vitest";
import { Secret } from "../base/secret.ts";
import type { GatewaySecret } from "../egress/options.ts";
import { makeBinding } from "./binding.ts";
import { prepareSecrets } from "./prepare.ts";

const values: Readonly<Record<string, string>> = {
  A: "sk-ant-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  B: "short",
  BEARER: "Bearer abc",
  BROKEN: "a\r\nb",
};
const valueOf = (name: string) => new Secret(values[name] ?? "");

describe("prepareSecrets", () => {
  it("gives each name one placeholder, which the inside sees and the gateway replaces", () => {
    const { bound, env } = prepareSecrets(
      [
        makeBinding({ name: "A", host: "api.anthropic.com" }),
        makeBinding({ name: "A", host: "b.com" }),
        makeBinding({ name: "B", host: "b.com", header: "x-b" }),
      ],
      valueOf,
    );
    const seam: readonly GatewaySecret[] = bound;
    expect(seam.map(({ name, host, header, scheme }) => `${name} ${host} ${header} ${scheme}`)).toEqual([
      "A api.anthropic.com x-api-key raw",
      "A b.com authorization bearer",
      "B b.com x-b raw",
    ]);
    expect(bound[0]?.placeholder).toBe(bound[1]?.placeholder);
    expect(env).toEqual({ A: bound[0]?.placeholder, B: bound[2]?.placeholder });
    expect(env["A"]).not.toBe(env["B"]);
    expect(bound[0]?.value.reveal()).toBe(values["A"]);
  });

  it("shows no value when it is printed", () => {
    const prepared = prepareSecrets([makeBinding({ name: "A", host: "a.com" })], valueOf);
    expect(JSON.stringify(prepared)).not.toContain(values["A"]);
  });

  it.each([
    [["B"], ["a.com", "a.com"], /twice/],
    [["BEARER"], ["a.com"], /Bearer/],
    [["BROKEN"], ["a.com"], /line break/],
    [["NONE"], ["a.com"], /empty/],
  ])("refuses %j on %j", (names, hosts, message) => {
    const bindings = hosts.map((host) => makeBinding({ name: names[0] ?? "", host }));
    expect(() => prepareSecrets(bindings, valueOf)).toThrow(message);
  });
});
