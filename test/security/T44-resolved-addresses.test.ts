import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { fetchOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";

const HOST = "allowed.example.com";
const own = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address.replace(/%.*/, "")));

test.each([
  "127.0.0.1",
  "169.254.169.254",
  "64:ff9b::a9fe:a9fe",
  "127.8.8.8",
  "10.0.0.1",
  "172.16.0.1",
  "192.168.1.1",
  "100.64.0.1",
  "0.0.0.0",
  "224.0.0.1",
  "255.255.255.255",
  "198.18.0.1",
  "::",
  "::1",
  "fe80::1",
  "fc00::1",
  "ff02::1",
  "::ffff:127.0.0.1",
  "::ffff:93.184.216.34",
  "64:ff9b::7f00:1",
  "64:ff9b:1::7f00:1",
  "2002:7f00:1::",
  "2001:0:7f00:1::",
  ...new Set(own),
])("V92: an allowed name that resolves to %s is not contacted", async (address) => {
  await using fixture = await gatewayFixture({
    policy: testPolicy([HOST], { ownAddresses: own }),
    resolve: () => Promise.resolve([address]),
  });
  for (const protocol of PROTOCOLS) {
    const answer = await fetchOver(protocol, fixture, `https://${HOST}/`);
    expect([answer.status, JSON.parse(answer.text).rule]).toEqual([403, "address"]);
  }
  const plain = await fetchInside(fixture, `http://${HOST}/`);
  expect([plain.status, JSON.parse(plain.text).rule]).toEqual([403, "address"]);
  for (const denial of await denials(fixture, "address", 3)) expect(denial).toMatchObject({ host: HOST, address });
});
