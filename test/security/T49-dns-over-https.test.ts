import { expect, test } from "vitest";
import { fetchInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { dnsQuery, gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const CDN = "cdn.example.com";
const RESOLVER = "dns.example.net";

test("DNS over HTTPS does not reach a resolver through an allowed neighbour, nor by itself", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("reached"));
  await using fixture = await gatewayFixture({ allow: [CDN], upstreams: [CDN, RESOLVER].map((host) => upstream.override(host)) });
  const headers = { accept: "application/dns-message" };
  expect((await fetchInside(fixture, `https://${CDN}/dns-query?dns=AAAB`, { headers: { ...headers, host: RESOLVER } })).status).toBe(421);
  expect((await fetchInside(fixture, `https://${RESOLVER}/dns-query?dns=AAAB`, { headers })).status).toBe(403);
  expect(
    (await fetchInside(fixture, `https://${RESOLVER}/dns-query`, { method: "POST", body: dnsQuery("x.evil.com"), headers })).status,
  ).toBe(403);
  expect(upstream.connections()).toBe(0);
  const recorded = (await denials(fixture, ["identity", "default"], 3)).map(({ rule, host, status }) => [rule, host, status]);
  expect(recorded).toEqual(
    expect.arrayContaining([
      ["identity", CDN, 421],
      ["default", RESOLVER, 403],
    ]),
  );
});
