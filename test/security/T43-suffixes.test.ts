import { expect, test } from "vitest";
import { fetchOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

test.each(PROTOCOLS)(
  "V93: a wildcard covers labels, and neither its own name nor what merely ends or begins like it (%s)",
  async (protocol) => {
    const hosts = ["sub.allowed.com", "deep.sub.allowed.com", "allowed.com", "evilallowed.com", "allowed.com.evil.com", "sub-allowed.com"];
    await using upstream = await testUpstream((_request, response) => response.end("ok"));
    await using fixture = await gatewayFixture({
      policy: testPolicy(["*.allowed.com"]),
      upstreams: hosts.map((host) => upstream.override(host)),
    });
    const found: number[] = [];
    for (const host of hosts) found.push((await fetchOver(protocol, fixture, `https://${host}/`)).status);
    expect(found).toEqual([200, 200, 403, 403, 403, 403]);
    expect(upstream.requests).toHaveLength(2);
    expect((await denials(fixture, "default", 4)).map(({ host }) => host)).toEqual(hosts.slice(2));
  },
);

test.each(["*", "*.com", "a*.allowed.com", "*.*.allowed.com", "allowed.*"])("the pattern %s is refused", (pattern) => {
  expect(() => testPolicy([pattern])).toThrowError(expect.objectContaining({ code: "VALIDATION" }));
});
