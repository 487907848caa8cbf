import { expect, test } from "vitest";
import { readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture, testPolicy, type FixtureOptions } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOST = "allowed.example.com";

async function ask(target: string, options: FixtureOptions = { allow: [HOST] }): Promise<{ status: string; seen: readonly string[] }> {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ upstreams: [upstream.override(HOST)], ...options });
  const socket = await tlsInside(fixture, HOST);
  socket.write(Buffer.from(`GET ${target} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`, "latin1"));
  const text = await readUntilClose(socket);
  return { status: text.slice(9, 12), seen: upstream.requests.map((request) => request.url) };
}

test.each([
  "http://evil.example.com/",
  `http://${HOST}/`,
  `https://evil.example.com/`,
  `https://${HOST}:8443/`,
  `https://user@${HOST}/`,
  `https://evil.example.com@${HOST}/`,
  `https://${HOST}\\@evil.example.com/`,
  `//${HOST}/`,
  "//evil.example.com/",
  "/a/../b",
  "/a/./b",
  "/..",
  "/a/%2e%2e/b",
  "/a/%2E./b",
  "/a/..;x/b",
  "/a\\b",
  "/a%5cb",
  "/a#b",
  "/a%00b",
  "/a%0d%0ab",
  "*",
  "evil",
  "ftp://evil/",
])("target %s is refused", async (target) => {
  const { status, seen } = await ask(target);
  expect(["400", "403", "421"]).toContain(status);
  expect(seen).toEqual([]);
});

test.each([
  ["/@scope%2fname", "/@scope%2fname"],
  ["/a//b", "/a//b"],
  ["/a%20b?x=/../y", "/a%20b?x=/../y"],
  ["/a.b/..c/d...", "/a.b/..c/d..."],
  [`https://${HOST}/absolute?q`, "/absolute?q"],
  [`HTTPS://${HOST.toUpperCase()}:443`, "/"],
])("target %s travels as it was sent", async (target, expected) => {
  expect(await ask(target)).toEqual({ status: "200", seen: [expected] });
});

test.each(["/v1%2f..%2fadmin", "/v1//../admin", "/v1/%252e%252e/admin", "//v1/x", "/V1/x", "/v1;/x/../../admin", "/v1%2fx"])(
  "a rule for /v1/** is not met by %s",
  async (target) => {
    const policy = testPolicy([], { rules: [{ id: "v1", host: HOST, paths: ["/v1/**"], effect: "allow", origin: "operator" }] });
    const { status, seen } = await ask(target, { policy });
    expect(["400", "403"]).toContain(status);
    expect(seen).toEqual([]);
  },
);
