import { expect, test } from "vitest";
import { readUntilClose, tcpInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";

const SPELLINGS = [
  "127.1",
  "2130706433",
  "0x7f.1",
  "0x7f000001",
  "0177.0.0.1",
  "127.0.0.1.",
  "[::]",
  "[::1]",
  "[::ffff:127.0.0.1]",
  "localhost",
  "localhost.",
  "①②⑦.0.0.1",
];

test.each(SPELLINGS)("V92: Host: %s is never dialled", async (host) => {
  let resolved = 0;
  await using fixture = await gatewayFixture({
    policy: testPolicy([], { default: "public" }),
    resolve: () => ((resolved += 1), Promise.resolve(["127.0.0.1"])),
  });
  const socket = await tcpInside(fixture, "allowed.example.com", 80);
  socket.write(Buffer.from(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
  expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 4(?:00|03|21) /);
  expect(resolved).toBe(0);
  expect(await denials(fixture, ["identity", "protocol"])).toMatchObject([{ host: "allowed.example.com" }]);
});

test.each(["127.1", "2130706433", "0x7f.1", "0177.0.0.1"])("a rule for %s is refused", (host) => {
  expect(() => testPolicy([host])).toThrowError(expect.objectContaining({ code: "VALIDATION" }));
});
