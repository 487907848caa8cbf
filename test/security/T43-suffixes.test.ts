import { expect, test } from "vitest";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

test("V93: a wildcard covers labels, and neither its own name nor what merely ends or begins like it", async () => {
  const hosts = ["sub.allowed.com", "deep.sub.allowed.com", "allowed.com", "evilallowed.com", "allowed.com.evil.com", "sub-allowed.com"];
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({
    policy: testPolicy(["*.allowed.com"]),
    upstreams: hosts.map((host) => upstream.override(host)),
  });
  const found: number[] = [];
  for (const host of hosts) found.push((await fetchInside(fixture, `https://${host}/`)).status);
  expect(found).toEqual([200, 200, 403, 403, 403, 403]);
  expect(upstream.requests).toHaveLength(2);
});

test.each(["*", "*.com", "a*.allowed.com", "*.*.allowed.com", "allowed.*"])("the pattern %s is refused", (pattern) => {
  expect(() => testPolicy([pattern])).toThrowError(expect.objectContaining({ code: "VALIDATION" }));
});
