import { expect, test } from "vitest";
import { fetchInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import type { PolicyInput, RuleInput } from "../../src/policy/policy.ts";

const HOST = "a.example.com";
const OTHER = "b.example.com";

async function statuses(rules: readonly RuleInput[], extra: Partial<PolicyInput> = {}): Promise<readonly number[]> {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({
    policy: testPolicy([], { rules, ...extra }),
    upstreams: [HOST, OTHER].map((host) => upstream.override(host)),
  });
  const found: number[] = [];
  for (const host of [HOST, OTHER]) found.push((await fetchInside(fixture, `https://${host}/x`)).status);
  const refused = found.filter((status) => status === 403).length;
  if (refused > 0) expect(await denials(fixture, ["default", "no-network", "r"], refused)).toHaveLength(refused);
  return found;
}

const allow = (over: Partial<RuleInput> = {}): RuleInput => ({ id: "r", host: HOST, effect: "allow", origin: "operator", ...over });

test("no rules: nothing, or the documented default; one rule: only its host", async () => {
  expect(await statuses([])).toEqual([403, 403]);
  expect(await statuses([], { default: "public" })).toEqual([200, 200]);
  expect(await statuses([], { default: "none" })).toEqual([403, 403]);
  expect(await statuses([allow()])).toEqual([200, 403]);
});

test("an absent list is all, an empty one none", async () => {
  expect(await statuses([allow({ methods: [] })])).toEqual([403, 403]);
  expect(await statuses([allow({ methods: ["GET"] })])).toEqual([200, 403]);
  expect(await statuses([allow({ paths: [] })])).toEqual([403, 403]);
  expect(await statuses([allow({ paths: ["/x"] })])).toEqual([200, 403]);
  expect(await statuses([allow({ ports: [] })])).toEqual([403, 403]);
  expect(await statuses([allow({ ports: [443] })])).toEqual([200, 403]);
});
