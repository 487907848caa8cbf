import { expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import type { GatewaySecret } from "../../src/egress/gateway.ts";
import { fetchInside, readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { KEY, KEY_HOST, OTHER_HOST, PLACEHOLDER, REAL, sentHeader } from "../support/gateway/secret.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const OTHER_PLACEHOLDER = "ghp_otherplaceholder0123456789abcdef0123";
const OTHER: GatewaySecret = {
  ...KEY,
  name: "OTHER_KEY",
  placeholder: OTHER_PLACEHOLDER,
  value: new Secret("ghp_other-real-value"),
  host: OTHER_HOST,
};

async function setting(secrets: readonly GatewaySecret[]) {
  const stack = new AsyncDisposableStack();
  const upstream = stack.use(await testUpstream((_request, response) => response.end("ok")));
  const hosts = [KEY_HOST, OTHER_HOST];
  const fixture = stack.use(await gatewayFixture({ allow: hosts, upstreams: hosts.map((host) => upstream.override(host)), secrets }));
  return { upstream, fixture, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("a placeholder for one host, sent to the other that has a key of its own, is refused", async () => {
  await using at = await setting([KEY, OTHER]);
  const answer = await fetchInside(at.fixture, `https://${OTHER_HOST}/`, { headers: { authorization: `Bearer ${PLACEHOLDER}` } });
  expect(answer.status).toBe(403);
  expect(at.upstream.connections()).toBe(0);
  expect(await denials(at.fixture, "secret")).toMatchObject([
    { host: OTHER_HOST, reason: expect.stringContaining("placeholder of API_KEY") },
  ]);
  expect(at.fixture.seen.findings).toMatchObject([{ finding: "secret_misplaced", rule: "secret:API_KEY", outcome: "deny" }]);
});

test("two placeholders in one header are refused; one in each of two headers is refused where it is not bound", async () => {
  await using at = await setting([KEY, OTHER]);
  for (const headers of [
    { authorization: `Bearer ${PLACEHOLDER}${OTHER_PLACEHOLDER}` },
    { authorization: `Bearer ${PLACEHOLDER}`, "x-other": OTHER_PLACEHOLDER },
  ])
    expect((await fetchInside(at.fixture, `https://${KEY_HOST}/`, { headers })).status).toBe(403);
  expect(at.upstream.connections()).toBe(0);
  expect(await denials(at.fixture, "secret", 2)).toHaveLength(2);
  expect(at.fixture.seen.findings).toHaveLength(2);
});

test("a head that comes byte by byte is substituted, and the body's length stays what it was", async () => {
  await using at = await setting([KEY]);
  const socket = await tlsInside(at.fixture, KEY_HOST);
  socket.setNoDelay(true);
  const text = `POST / HTTP/1.1\r\nHost: ${KEY_HOST}\r\nAuthorization: Bearer ${PLACEHOLDER}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello`;
  for (const character of text) socket.write(character);
  expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 200 /);
  const sent = at.upstream.requests[0]?.rawHeaders;
  expect([sentHeader(sent, "authorization"), sentHeader(sent, "content-length")]).toEqual([[`Bearer ${REAL}`], ["5"]]);
});

test("a new value takes effect with the next request, under the same placeholder, on the same connection", async () => {
  await using at = await setting([KEY]);
  const headers = { authorization: `Bearer ${PLACEHOLDER}` };
  await fetchInside(at.fixture, `https://${KEY_HOST}/`, { headers });
  at.fixture.attachment.update({ ...at.fixture.egress, secrets: [{ ...KEY, value: new Secret("sk-proj-rotated") }] });
  await fetchInside(at.fixture, `https://${KEY_HOST}/`, { headers });
  expect(at.upstream.requests.map(({ rawHeaders }) => sentHeader(rawHeaders, "authorization"))).toEqual([
    [`Bearer ${REAL}`],
    ["Bearer sk-proj-rotated"],
  ]);
});

test("a WebSocket handshake carries the value, in a header or in OpenAI's subprotocol", async () => {
  for (const line of [`Authorization: Bearer ${PLACEHOLDER}`, `Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.${PLACEHOLDER}`]) {
    // a subprotocol is an HTTP token
    await using at = await setting([{ ...KEY, value: new Secret("sk-proj-token-real-value-9X") }]);
    const socket = await tlsInside(at.fixture, KEY_HOST);
    socket.write(
      `GET / HTTP/1.1\r\nHost: ${KEY_HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${line}\r\n\r\n`,
    );
    expect(await readUntilClose(socket, { enough: (text) => text.includes("ok") })).toMatch(/^HTTP\/1\.1 200 /);
    expect(at.upstream.requests[0]?.rawHeaders.join("\n")).toContain(
      line.replace(/^[^:]*: /, "").replace(PLACEHOLDER, "sk-proj-token-real-value-9X"),
    );
    socket.destroy();
  }
});
