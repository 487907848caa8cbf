import { expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "allowed.example.com";
const PLACEHOLDER = "ak-placeholder-0123456789abcdef0123";

test.each([
  ["unknown issuer", { trusted: false }],
  ["expired", { expired: true }],
  ["another name", { name: "elsewhere.example.com" }],
])("an upstream certificate that is wrong (%s) is a 502, and no key is sent", async (_name, options) => {
  await using upstream = await testUpstream((_request, response) => response.end("never"), options);
  const secret = {
    name: "KEY",
    placeholder: PLACEHOLDER,
    value: new Secret("real"),
    host: HOST,
    header: "authorization",
    scheme: "bearer" as const,
  };
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], secrets: [secret] });
  const answer = await fetchInside(fixture, `https://${HOST}/`, { headers: { authorization: `Bearer ${PLACEHOLDER}` } });
  expect(answer.status).toBe(502);
  expect(JSON.parse(answer.text)).toMatchObject({ error: "upstream_error", rule: "certificate", host: HOST });
  expect(upstream.requests).toHaveLength(0);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({ end: "upstream_error", error_code: "UPSTREAM_ERROR" });
});
