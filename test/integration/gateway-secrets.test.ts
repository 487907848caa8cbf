import { expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import type { GatewaySecret } from "../../src/egress/gateway.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.example.com";
const OTHER = "other.example.com";
const PLACEHOLDER = "ak-placeholder-0123456789abcdef0123";
const REAL = "sk-real-value-that-must-not-leak";

const bearer: GatewaySecret = {
  name: "API_KEY",
  placeholder: PLACEHOLDER,
  value: new Secret(REAL),
  host: HOST,
  header: "authorization",
  scheme: "bearer",
};

function sentHeader(raw: readonly string[] | undefined, name: string): string[] {
  const found: string[] = [];
  for (let i = 0; raw !== undefined && i + 1 < raw.length; i += 2) if (raw[i]?.toLowerCase() === name) found.push(raw[i + 1] ?? "");
  return found;
}

test("the placeholder in the bound header becomes the real value, and nothing else shows it", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], secrets: [bearer] });
  const answer = await fetchInside(fixture, `https://${HOST}/`, { headers: { authorization: `Bearer ${PLACEHOLDER}` } });
  expect(answer.status).toBe(200);
  expect(sentHeader(upstream.requests[0]?.rawHeaders, "authorization")).toEqual([`Bearer ${REAL}`]);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({ secret_injected: true });
  expect(JSON.stringify(fixture.seen)).not.toContain(REAL);
});

test("Basic credentials carry the placeholder too, as git sends it", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], secrets: [bearer] });
  const basic = `Basic ${Buffer.from(`x-access-token:${PLACEHOLDER}`).toString("base64")}`;
  await fetchInside(fixture, `https://${HOST}/`, { headers: { authorization: basic } });
  expect(sentHeader(upstream.requests[0]?.rawHeaders, "authorization")).toEqual([
    `Basic ${Buffer.from(`x-access-token:${REAL}`).toString("base64")}`,
  ]);
});

test("a second header of the bound name does not travel beside the real value", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  const raw: GatewaySecret = { ...bearer, header: "x-api-key", scheme: "raw" };
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], secrets: [raw] });
  await fetchInside(fixture, `https://${HOST}/`, { headers: { "x-api-key": ["attacker", PLACEHOLDER] } });
  expect(sentHeader(upstream.requests[0]?.rawHeaders, "x-api-key")).toEqual([REAL]);
});

test("without the placeholder nothing is put in", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], secrets: [bearer] });
  await fetchInside(fixture, `https://${HOST}/`, { headers: { authorization: "Bearer own" } });
  await fetchInside(fixture, `https://${HOST}/`);
  expect(sentHeader(upstream.requests[0]?.rawHeaders, "authorization")).toEqual(["Bearer own"]);
  expect(sentHeader(upstream.requests[1]?.rawHeaders, "authorization")).toEqual([]);
});

test.each([
  ["another host", `https://${OTHER}/`, { authorization: `Bearer ${PLACEHOLDER}` }],
  ["another header", `https://${HOST}/`, { "x-other": PLACEHOLDER }],
  ["the query", `https://${HOST}/?key=${PLACEHOLDER}`, {}],
  ["the path, percent-encoded", `https://${HOST}/${PLACEHOLDER.replace("ak", "%61k")}`, {}],
  ["a longer value", `https://${HOST}/`, { authorization: `Bearer ${PLACEHOLDER}suffix` }],
  ["Basic for another host", `https://${OTHER}/`, { authorization: `Basic ${Buffer.from(`u:${PLACEHOLDER}`).toString("base64")}` }],
  ["plain HTTP", `http://${HOST}/`, { authorization: `Bearer ${PLACEHOLDER}` }],
])("a placeholder in %s is a finding and leaves nothing", async (_name, url, headers) => {
  await using upstream = await testUpstream((_request, response) => response.end("never"));
  const upstreams = url.startsWith("https") ? [upstream.override(HOST), upstream.override(OTHER)] : [];
  await using fixture = await gatewayFixture({
    allow: [HOST, OTHER],
    upstreams,
    secrets: [bearer],
    resolve: () => Promise.resolve(["93.184.216.34"]),
  });
  const answer = await fetchInside(fixture, url, { headers });
  expect(answer.status).toBe(403);
  expect(JSON.parse(answer.text)).toMatchObject({ error: "policy_denied", rule: "secret" });
  expect(answer.text).not.toContain(REAL);
  expect(upstream.connections()).toBe(0);
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.findings).toHaveLength(1);
  expect(fixture.seen.findings[0]).toMatchObject({ finding: "secret_misplaced", severity: "high", rule: "secret:API_KEY" });
  expect(fixture.seen.exchanges[0]).toMatchObject({ decision: "deny", secret_injected: false });
});

test("keys go over plain HTTP to an origin on loopback that the operator named", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"), { tls: false });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], secrets: [bearer] });
  await fetchInside(fixture, `https://${HOST}/`, { headers: { authorization: `Bearer ${PLACEHOLDER}` } });
  expect(sentHeader(upstream.requests[0]?.rawHeaders, "authorization")).toEqual([`Bearer ${REAL}`]);
});
