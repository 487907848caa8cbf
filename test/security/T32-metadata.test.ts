import { expect, test } from "vitest";
import { fetchInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const METADATA = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"];
const HOST = "allowed.example.com";

test.each(METADATA)("%s by address, even where a rule names it and private addresses are open", async (address) => {
  const policy = testPolicy([address.includes(":") ? `[${address}]` : address, HOST], { unsafeAllowPrivate: true });
  await using fixture = await gatewayFixture({ policy });
  const url = `http://${address.includes(":") ? `[${address}]` : address}/latest/meta-data/`;
  expect((await fetchInside(fixture, url, { via: address })).status).toBe(403);
  expect(await denials(fixture, "address")).toMatchObject([{ host: address, status: 403, address, address_class: "metadata" }]);
});

test.each(METADATA)("a name that resolves to %s", async (address) => {
  await using fixture = await gatewayFixture({
    policy: testPolicy([HOST], { unsafeAllowPrivate: true }),
    resolve: () => Promise.resolve([address]),
  });
  const answer = await fetchInside(fixture, `http://${HOST}/`);
  expect([answer.status, JSON.parse(answer.text).rule]).toEqual([403, "address"]);
  expect(await denials(fixture, "address")).toMatchObject([{ host: HOST, address, address_class: "metadata" }]);
});

test("a redirect there is the client's to follow, and its next request is denied", async () => {
  await using upstream = await testUpstream(
    (_request, response) => response.writeHead(302, { location: "http://169.254.169.254/" }).end(),
    { tls: false },
  );
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const answer = await fetchInside(fixture, `http://${HOST}/`);
  expect([answer.status, answer.headers.location]).toEqual([302, "http://169.254.169.254/"]);
  expect((await fetchInside(fixture, "http://169.254.169.254/")).status).toBe(403);
  expect(await denials(fixture, "default")).toMatchObject([{ host: "169.254.169.254", status: 403 }]);
  expect(upstream.requests).toHaveLength(1);
});
