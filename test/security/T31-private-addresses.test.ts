import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { expect, test } from "vitest";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "allowed.example.com";

/** Loopback, private, shared and metadata addresses of the common clouds, in every family. */
const FORBIDDEN = [
  "127.0.0.1",
  "127.8.9.10",
  "10.0.0.1",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "100.64.0.1",
  "0.0.0.0",
  "255.255.255.255",
  "224.0.0.1",
  "169.254.169.254",
  "169.254.170.2",
  "100.100.100.200",
  "168.63.129.16",
  "192.0.0.192",
  "198.18.0.1",
  "::1",
  "::",
  "fe80::1",
  "fc00::1",
  "fd00:ec2::254",
  "::ffff:127.0.0.1",
  "::ffff:10.0.0.1",
  "64:ff9b::7f00:1",
  "64:ff9b::a9fe:a9fe",
  "2002:7f00:1::",
  "2001:0:7f00:1::",
];

test.each(FORBIDDEN)("an allowed name that resolves to %s is not dialled", async (address) => {
  await using fixture = await gatewayFixture({ allow: [HOST], resolve: () => Promise.resolve([address]) });
  const answer = await fetchInside(fixture, `https://${HOST}/`);
  expect(answer.status).toBe(403);
  expect(JSON.parse(answer.text)).toMatchObject({ error: "policy_denied", host: HOST, rule: "address" });
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({ decision: "deny", rule: "address", address });
});

test.each(["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.100.100.200", "93.184.216.34"])(
  "a connection to the address %s is refused, readably",
  async (address) => {
    await using fixture = await gatewayFixture({ allow: [HOST] });
    const answer = await fetchInside(fixture, `http://${address}/latest/meta-data/`);
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.text)).toMatchObject({ error: "policy_denied", host: address, port: 80 });
  },
);

test("a rule for an address does not open a forbidden one, and a canary on loopback sees nobody", async () => {
  const canary = createServer();
  let hits = 0;
  canary.on("connection", () => (hits += 1));
  canary.listen(0, "127.0.0.1");
  await once(canary, "listening");
  const { port } = canary.address() as AddressInfo;
  await using fixture = await gatewayFixture({
    allow: [`127.0.0.1:${port}`, `${HOST}:${port}`, "169.254.169.254"],
    resolve: () => Promise.resolve(["127.0.0.1"]),
  });
  for (const url of [`http://127.0.0.1:${port}/`, `http://${HOST}:${port}/`, "http://169.254.169.254/"]) {
    expect((await fetchInside(fixture, url)).status).toBe(403);
  }
  expect(hits).toBe(0);
  canary.close();
});

test("a header that names an internal host over a connection to an allowed name is misdirected", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST], resolve: () => Promise.resolve(["169.254.169.254"]) });
  const answer = await fetchInside(fixture, `http://${HOST}/`, { headers: { host: "169.254.169.254" } });
  expect(answer.status).toBe(421);
});
