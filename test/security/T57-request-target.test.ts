import { expect, test } from "vitest";
import { readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { get, insideSandbox, statusesOf } from "../support/gateway/in-sandbox.ts";
import { requires } from "../support/requires.ts";
import { gatewayFixture, testPolicy, type FixtureOptions } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOST = "allowed.example.com";

async function ask(target: string, options: FixtureOptions = { allow: [HOST] }): Promise<{ status: string; seen: readonly string[] }> {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ upstreams: [upstream.override(HOST)], ...options });
  const socket = await tlsInside(fixture, HOST);
  socket.write(Buffer.from(`GET ${target} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`, "latin1"));
  const status = (await readUntilClose(socket)).slice(9, 12);
  if (status !== "200") await denials(fixture, ["protocol", "identity", "path", "v1"]);
  return { status, seen: upstream.requests.map((request) => request.url) };
}

const HOSTILE = [
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
] as const;

test.each(HOSTILE)("target %s is refused", async (target) => {
  const { status, seen } = await ask(target);
  expect(["400", "403", "421"]).toContain(status);
  expect(seen).toEqual([]);
});

test("none of them passes from inside a sandbox, and each is in the audit", requires("bwrap", "python3"), async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await using inside = await insideSandbox(fixture);
  const statuses = statusesOf(await inside.send(HOSTILE.map((target) => ({ to: HOST, sni: HOST, bytes: get(HOST, target) }))));
  expect(statuses.filter((status) => !["400", "403", "421"].includes(status))).toEqual([]);
  expect(upstream.requests).toEqual([]);
  expect((await denials(fixture, ["protocol", "identity", "path"], 10)).length).toBeGreaterThanOrEqual(10);
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
