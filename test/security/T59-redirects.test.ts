import { expect, test } from "vitest";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
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
  },
);
