import { expect, test } from "vitest";
import { readUntilClose, tcpInside, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { insideSandbox, statusesOf } from "../support/gateway/in-sandbox.ts";
import { requires } from "../support/requires.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

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
  expect(await denials(fixture, "protocol")).toMatchObject([{ host: HOST, protocol: "http", reason: "CONNECT is not served" }]);
});

test("from inside a sandbox: no CONNECT, no proxy request, no SSH on a port that is open", requires("bwrap", "python3"), async () => {
  await using upstream = await testUpstream((_request, response) => response.end("never"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using inside = await insideSandbox(fixture);
  const connects = ["169.254.169.254:80", `${HOST}:22`, `${HOST}:443`].map(
    (target) => `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`,
  );
  const refused = await inside.send(
    connects.flatMap((bytes) => [
      { to: HOST, bytes },
      { to: HOST, sni: HOST, bytes },
    ]),
  );
  expect(statusesOf(refused)).toEqual(refused.map(() => "405"));
  expect(await inside.send([{ to: HOST, bytes: "SSH-2.0-OpenSSH_9.2\r\n" }])).toEqual([""]);
  expect(await inside.send([{ to: HOST, port: 22, bytes: "SSH-2.0-OpenSSH_9.2\r\n" }])).toEqual(["error ConnectionRefusedError"]);
  expect((await denials(fixture, "protocol", 2)).map(({ reason }) => reason)).toEqual(
    expect.arrayContaining(["CONNECT is not served", "the first bytes are neither HTTP nor TLS"]),
  );
  expect(upstream.connections()).toBe(0);
});
