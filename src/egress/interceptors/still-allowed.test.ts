import { expect, test } from "vitest";
import { Secret } from "../../base/secret.ts";
import type { Generation } from "../accept/generation.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { GatewaySecret } from "../options.ts";
import { keysHold } from "./still-allowed.ts";

const KEY: GatewaySecret = {
  name: "API_KEY",
  placeholder: "ak-0123456789abcdef012345",
  value: new Secret("real"),
  host: "a.example.com",
  header: "authorization",
  scheme: "bearer",
};

function holds(now: { readonly secrets: readonly GatewaySecret[]; readonly orgKeys?: readonly GatewaySecret[] }) {
  const decision = { verdict: "allow", rule: "a", reason: "b", policy: { id: "p", version: 1 } } as const;
  const exchange = { injected: [KEY], secretsInjected: [KEY.name], decision, keySource: "sandbox" } as unknown as Exchange;
  const held = keysHold(exchange, { egress: now } as unknown as Generation);
  return { held, exchange };
}

test("a key that is the same leaves, whichever list it stands in and whoever read its value", () => {
  expect(holds({ secrets: [KEY] }).held).toBe(true);
  expect(holds({ secrets: [], orgKeys: [{ ...KEY, value: new Secret("real") }] }).held).toBe(true);
});

test.each<[string, readonly GatewaySecret[]]>([
  ["gone", []],
  ["taken away", [{ ...KEY, isRevoked: true }]],
  ["bound elsewhere", [{ ...KEY, host: "b.example.com" }]],
  ["another value", [{ ...KEY, value: new Secret("other") }]],
  ["another placeholder", [{ ...KEY, placeholder: "ak-other" }]],
])("one that is %s does not, and the record names no key", (_name, secrets) => {
  const { held, exchange } = holds({ secrets });
  expect([held, exchange.decision?.verdict, exchange.decision?.rule, exchange.secretsInjected]).toEqual([false, "deny", "secret", []]);
  expect(exchange.decision?.reason).toContain("API_KEY was taken away or changed");
});
