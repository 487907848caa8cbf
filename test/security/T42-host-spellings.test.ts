import { expect, test } from "vitest";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { readUntilClose, tcpInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { get, insideSandbox, statusesOf } from "../support/gateway/in-sandbox.ts";
import { requires } from "../support/requires.ts";
import { dnsQuery, gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "allowed.example.com";

async function statusOf(host: string, connectTo = HOST): Promise<{ status: string; upstream: number; rules: readonly string[] }> {
  await using upstream = await testUpstream((_request, response) => response.end("ok"), { tls: false });
  await using fixture = await gatewayFixture({
    policy: testPolicy([HOST, "*.wild.example.com"]),
    upstreams: [upstream.override(HOST)],
    resolve: (name) => Promise.resolve(name === "localhost" ? ["127.0.0.1"] : []),
  });
  const socket = await tcpInside(fixture, connectTo, 80);
  socket.write(Buffer.from(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`, "latin1"));
  const text = await readUntilClose(socket, { timeoutMs: 3_000 });
  const status = text.slice(9, 12);
  const rules = status.startsWith("4") ? (await denials(fixture, ["identity", "protocol", "default"])).map(({ rule }) => rule) : [];
  return { status, upstream: upstream.requests.length, rules };
}

test.each(["ALLOWED.Example.COM", "allowed.example.com.", "allowed.example.com:80"])("%s is the allowed host", async (host) => {
  expect(await statusOf(host)).toEqual({ status: "200", upstream: 1, rules: [] });
});

const NOBODY = [
  "evil.com\0.allowed.example.com",
  "allowed.example.com@evil.com",
  "evil.com#allowed.example.com",
  "evil.com?allowed.example.com",
  "allowed.example.com/evil",
  "allowed.example.com evil.com",
  "allowed..example.com",
  ".allowed.example.com",
  "allowed.example.com..",
  "аllowed.example.com",
  "xn--llowed-8ve.example.com",
  `${"a".repeat(64)}.example.com`,
  `${"a.".repeat(130)}com`,
  "allowed.example.com:443",
  "allowed.example.com:",
  "allowed.example.com:80:80",
  "[allowed.example.com]",
  "-allowed.example.com",
  "allowed%2eexample.com",
  "127.1",
  "2130706433",
  "0x7f.1",
  "0177.0.0.1",
  "[::]",
  "::1",
  "",
  "evilallowed.example.com",
  "allowed.example.com.evil.com",
] as const;

test.each(NOBODY)("V92: Host %j reaches nobody", async (host) => {
  const { status, upstream, rules } = await statusOf(host);
  expect(["400", "403", "421"]).toContain(status);
  expect(upstream).toBe(0);
  expect(rules).toEqual([status === "421" ? "identity" : "protocol"]);
});

test(
  "V92: none of them reaches anybody from inside a sandbox, as header or as the name that is asked for",
  requires("bwrap", "python3"),
  async () => {
    await using upstream = await testUpstream((_request, response) => response.end("ok"), { tls: false });
    const resolved: string[] = [];
    await using fixture = await gatewayFixture({
      allow: [HOST],
      upstreams: [upstream.override(HOST)],
      resolve: (name) => (resolved.push(name), Promise.resolve(["127.0.0.1"])),
    });
    await using inside = await insideSandbox(fixture);
    const named = NOBODY.filter((host) => /^[\x00-\x7f]+$/.test(host));
    const headers = statusesOf(await inside.send(named.map((host) => ({ to: HOST, bytes: get(host) }))));
    expect(headers.filter((status) => !["400", "403", "421"].includes(status))).toEqual([]);
    expect(await denials(fixture, ["identity", "protocol"], named.length - 5)).not.toEqual([]);
    // a resolver that takes a spelling of an address for that address connects to it, and meets the gateway there
    const asked = statusesOf(await inside.send(named.map((to) => ({ to, bytes: get(HOST) }))));
    for (const [i, status] of asked.entries())
      expect(status, named[i]).toMatch(
        named[i]?.startsWith(HOST) === true ? /^(?:200|400|403|421|error .*)$/ : /^(?:400|403|421|error .*)$/,
      );
    expect(new Set(resolved)).toEqual(new Set(upstream.requests.length > 0 ? ["localhost"] : []));
  },
);

// what no client can put into a field is held by the vectors of smuggling
test.each(NOBODY.filter((host) => /^[\x21-\x7e]*$/.test(host) && host !== "allowed.example.com:443"))(
  "V92: :authority %j reaches nobody",
  async (host) => {
    await using upstream = await testUpstream((_request, response) => response.end("ok"));
    await using fixture = await gatewayFixture({ policy: testPolicy([HOST]), upstreams: [upstream.override(HOST)] });
    const answer = await fetchOver("h2", fixture, `https://${HOST}/`, { headers: { host } }).catch((error: Error) => error);
    // a stream that is reset has no status
    if (!(answer instanceof Error)) expect([400, 403, 421]).toContain(answer.status);
    expect(upstream.requests).toEqual([]);
  },
);

test.each(PROTOCOLS)("V92: API.OpenAI.com. with its port is OpenAI (%s)", async (protocol) => {
  const openai = "api.openai.com";
  await using upstream = await testUpstream((request, response) => {
    response.setHeader("content-type", "application/json");
    request.resume().on("end", () => response.end('{"model":"gpt-5","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}'));
  });
  await using fixture = await gatewayFixture({
    allow: [openai],
    upstreams: [upstream.override(openai)],
    providers: createProviderTable({ customDomains: [] }),
  });
  const answer = await fetchOver(protocol, fixture, `https://${openai}/v1/chat/completions`, {
    body: '{"model":"gpt-5"}',
    headers: { host: "API.OpenAI.com.:443", "content-type": "application/json" },
  });
  expect(answer.status).toBe(200);
  await waitFor(() => fixture.seen.calls.length === 1);
  expect(fixture.seen.calls[0]).toMatchObject({ provider: "openai", host: openai, input_tokens: 3 });
});

test.each([
  ["wild.example.com", "403"],
  ["evilwild.example.com", "403"],
  ["a.wild.example.com.evil.com", "403"],
  ["a.wild.example.com", "502"],
  ["a.b.wild.example.com", "502"],
])("V93: a wildcard covers whole labels below it: %s answers %s", async (host, status) => {
  expect((await statusOf(host, host)).status).toBe(status);
});

test.each(["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "a b.com", "evil.com\0.allowed.example.com"])(
  "the resolver gives no address for %j",
  async (name) => {
    await using fixture = await gatewayFixture({ allow: [HOST] });
    const answer = await fixture.ask(dnsQuery(name));
    expect((answer?.readUInt16BE(2) ?? 0) & 15).toBe(5);
    expect(answer?.readUInt16BE(6)).toBe(0);
  },
);
