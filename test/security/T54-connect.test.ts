import { expect, test } from "vitest";
import { readUntilClose, tcpInside, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "allowed.example.com";

test.each([
  ["to an address", "169.254.169.254:80", "169.254.169.254:80"],
  ["to another port", `${HOST}:22`, `${HOST}:22`],
  ["to the allowed host itself", `${HOST}:443`, `${HOST}:443`],
  ["with a Host that is not the target", "evil.example.com:443", HOST],
])("CONNECT %s is not served, inside TLS and outside", async (_name, target, host) => {
  await using upstream = await testUpstream((_request, response) => response.end("never"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  for (const socket of [await tcpInside(fixture, HOST, 80), await tlsInside(fixture, HOST)]) {
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 405 /);
  }
  expect(upstream.connections()).toBe(0);
  await waitFor(() => fixture.seen.decisions.some((event) => event.decision === "deny" && event.protocol === "http"));
});
