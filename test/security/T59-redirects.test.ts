import { expect, test } from "vitest";
import { fetchOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { KEY, KEY_HOST, OTHER_HOST, PLACEHOLDER, REAL, sentHeader } from "../support/gateway/secret.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOST = "allowed.example.com";

test.each(["http://169.254.169.254/latest/meta-data/", "https://evil.example.com/", "http://10.0.0.1/"])(
  "V100: a redirect to %s is handed to the client, whose next request is denied",
  async (location) => {
    await using upstream = await testUpstream((_request, response) => response.writeHead(307, { location }).end());
    await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
    const first = await fetchInside(fixture, `https://${HOST}/`);
    expect([first.status, first.headers.location]).toEqual([307, location]);
    expect((await fetchInside(fixture, location)).status).toBe(403);
    expect(upstream.requests).toHaveLength(1);
    expect(await denials(fixture, ["default", "address"])).toMatchObject([{ host: new URL(location).hostname, status: 403 }]);
  },
);

test.each(PROTOCOLS)("V100: a redirect takes no key to another host (%s)", async (protocol) => {
  await using upstream = await testUpstream((_request, response) => response.writeHead(302, { location: `https://${OTHER_HOST}/` }).end());
  await using fixture = await gatewayFixture({
    allow: [KEY_HOST, OTHER_HOST],
    upstreams: [upstream.override(KEY_HOST), upstream.override(OTHER_HOST)],
    secrets: [KEY],
  });
  const headers = { authorization: `Bearer ${PLACEHOLDER}` };
  const first = await fetchOver(protocol, fixture, `https://${KEY_HOST}/`, { headers });
  expect([first.status, first.headers["location"]]).toEqual([302, `https://${OTHER_HOST}/`]);
  expect(upstream.requests.map(({ rawHeaders }) => sentHeader(rawHeaders, "authorization"))).toEqual([[`Bearer ${REAL}`]]);
  // a client that follows it takes along what it has, which is the placeholder: not even that leaves
  expect((await fetchOver(protocol, fixture, `https://${OTHER_HOST}/`, { headers })).status).toBe(403);
  expect(upstream.requests).toHaveLength(1);
  expect(await denials(fixture, "secret")).toMatchObject([{ host: OTHER_HOST, status: 403 }]);
  expect(fixture.seen.findings).toMatchObject([{ finding: "secret_misplaced", host: OTHER_HOST, rule: "secret:API_KEY" }]);
});
