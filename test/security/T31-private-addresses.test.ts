import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { fetchInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { get, insideSandbox, statusesOf } from "../support/gateway/in-sandbox.ts";
import { requires } from "../support/requires.ts";
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
    expect(await denials(fixture, ["address", "default"])).toMatchObject([{ host: address, status: 403 }]);
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
  expect(await denials(fixture, "address", 3)).toHaveLength(3);
  canary.close();
});

test("a header that names an internal host over a connection to an allowed name is misdirected", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST], resolve: () => Promise.resolve(["169.254.169.254"]) });
  const answer = await fetchInside(fixture, `http://${HOST}/`, { headers: { host: "169.254.169.254" } });
  expect(answer.status).toBe(421);
  expect(await denials(fixture, "identity")).toMatchObject([{ host: HOST, status: 421 }]);
});

test("from inside a sandbox, whose every connection to one of them ends at the gateway", requires("bwrap", "python3"), async () => {
  const canary = createServer((socket) => socket.end("canary"));
  let hits = 0;
  canary.on("connection", () => (hits += 1));
  canary.listen(0, "0.0.0.0");
  await once(canary, "listening");
  const { port } = canary.address() as AddressInfo;
  await using fixture = await gatewayFixture({ allow: FORBIDDEN.filter((address) => !address.includes(":")) });
  await using inside = await insideSandbox(fixture);
  const own = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address.replace(/%.*/, "")));
  // the first address of 0.0.0.0/8 and broadcasts are no destinations of TCP
  const reachable = [...new Set([...FORBIDDEN, ...own])].filter((address) => !/:|^0\.|^255\.|^224\./.test(address));
  const replies = await inside.send(reachable.map((address) => ({ to: address, port: 80, bytes: get(address) })));
  expect(statusesOf(replies)).toEqual(reachable.map(() => "403"));
  expect(await denials(fixture, ["address", "default"], reachable.length)).toHaveLength(reachable.length);
  // at any other port nobody listens: not even a SYN leaves
  const others = [...reachable, "::1", "fd00:ec2::254"].flatMap((to) => [port, 22].map((at) => ({ to, port: at, bytes: "x" })));
  expect(new Set(await inside.send(others))).toEqual(new Set(["error ConnectionRefusedError"]));
  expect(hits).toBe(0);
  canary.close();
});
