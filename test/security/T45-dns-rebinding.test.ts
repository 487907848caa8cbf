import { createServer, type AddressInfo, type Server } from "node:net";
import { once } from "node:events";
import { expect, test } from "vitest";
import type { Policy } from "../../src/policy/policy.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";

const HOST = "rebind.example.com";

async function listener(address: string, port = 0): Promise<Server & { hits: number }> {
  const server = Object.assign(createServer(), { hits: 0 });
  server.on("connection", (socket) => {
    server.hits += 1;
    socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
  });
  server.listen(port, address);
  await once(server, "listening");
  return server;
}

/** The real policy, except that it takes 127.0.0.2 for a public address, so that the test can see who is dialled. */
function policyWithPublic(base: Policy): Policy {
  return {
    ...base,
    decideAddress: (host, address, options) =>
      address === "127.0.0.2"
        ? { verdict: "allow", rule: "address", reason: "public for this test", address: "public", policy: base.ref }
        : base.decideAddress(host, address, options),
  };
}

test("V92: what was judged is what is dialled: one resolution for a connection, forbidden addresses of a mixed answer left out", async () => {
  const good = await listener("127.0.0.2");
  const { port } = good.address() as AddressInfo;
  const bad = await listener("127.0.0.1", port);
  let asked = 0;
  // public first, private ever after, and both at once
  const answers = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]];
  await using fixture = await gatewayFixture({
    policy: policyWithPublic(testPolicy([`${HOST}:${port}`])),
    resolve: () => Promise.resolve(answers[Math.min(asked++, 2)] ?? []),
  });
  const url = `http://${HOST}:${port}/`;
  expect((await fetchInside(fixture, url)).text).toBe("ok");
  expect(asked).toBe(1);
  expect((await fetchInside(fixture, url)).status).toBe(403);
  expect((await fetchInside(fixture, url)).text).toBe("ok");
  expect([good.hits, bad.hits, asked]).toEqual([2, 0, 3]);
  expect(fixture.seen.exchanges.map((event) => event.address)).toEqual(["127.0.0.2", "127.0.0.1", "127.0.0.2"]);
  expect(await denials(fixture, "address")).toMatchObject([{ address: "127.0.0.1", address_class: "loopback", status: 403 }]);
  good.close();
  bad.close();
});
