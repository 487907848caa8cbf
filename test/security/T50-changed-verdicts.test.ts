import { once } from "node:events";
import { Agent } from "node:https";
import { connect as connectTls } from "node:tls";
import { expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import type { GatewaySecret, Upstream } from "../../src/egress/gateway.ts";
import type { RuleInput } from "../../src/policy/policy.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchInside, openInside, readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { KEY, PLACEHOLDER, sentHeader } from "../support/gateway/secret.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

// with real sandboxes, the command line and a process beside: test/e2e/policy.test.ts
const HOST = "api.example.com";
const OPENAI = "api.openai.com";
const PINNED = "pinned.example.com";
const allowed = (host: string) => ({ id: host, host, effect: "allow" as const, origin: "operator" as const });
type Change = { readonly rules?: readonly RuleInput[]; readonly upstreams?: readonly Upstream[]; readonly own?: boolean };
const WITHIN = { signal: AbortSignal.timeout(30_000) };

test("allow to deny: streams, kept connections and tunnels are closed within a second; others live on", async () => {
  await using upstream = await testUpstream(
    (request, response) => {
      if (request.url === "/stream") response.write("begun");
      else response.end("ok");
    },
    { name: "pinned.example.com" },
  );
  const hosts = [HOST, "other.example.com"];
  const tunnel = { id: "pinned", host: "pinned.example.com", effect: "tunnel", origin: "operator" } as const;
  const allows = (names: readonly string[]) =>
    names.map((host) => ({ id: host, host, effect: "allow" as const, origin: "operator" as const }));
  await using plain = await testUpstream((request, response) => {
    if (request.url === "/stream") response.write("begun");
    else response.end("ok");
  });
  await using fixture = await gatewayFixture({
    policy: testPolicy([], { rules: [tunnel, ...allows(hosts)] }),
    upstreams: [...hosts.map((host) => plain.override(host)), upstream.override("pinned.example.com")],
  });
  const stream = await openInside(fixture, `https://${HOST}/stream`);
  const other = await openInside(fixture, "https://other.example.com/stream");
  const idle = await tlsInside(fixture, HOST);
  idle.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  await once(idle, "data", WITHIN);
  const agent = new Agent({ keepAlive: true, ca: upstream.override("x").ca ?? "" });
  const port = await fixture.reach("pinned.example.com", 443);
  const pinned = (await import("node:https")).get({ host: "127.0.0.1", port, servername: "pinned.example.com", path: "/stream", agent });
  await once(pinned, "response", WITHIN);
  const changedAt = performance.now();
  const closed = Promise.all(
    [stream, idle, pinned].map((one) => new Promise((resolve) => one.once("close", resolve).on("error", () => undefined))),
  );
  idle.resume();
  stream.resume();
  fixture.attachment.update({ ...fixture.egress, policy: testPolicy([], { rules: allows(["other.example.com"]) }, 2) });
  await closed;
  expect(performance.now() - changedAt).toBeLessThan(1_000);
  expect(other.destroyed).toBe(false);
  expect((await fetchInside(fixture, `https://${HOST}/`)).status).toBe(403);
  // what was cut says so, and what was denied afterwards names the generation that did it
  await waitFor(() => fixture.seen.exchanges.some(({ url, error_code: code }) => url.endsWith("/stream") && code === "POLICY_DENIED"));
  expect(await denials(fixture, "default")).toMatchObject([{ host: HOST, status: 403, policy: { id: "test", version: 2 } }]);
  other.destroy();
  agent.destroy();
});

test.each([
  ["a tunnel that is to be inspected from now on", { rules: [allowed(PINNED)] }],
  ["an upstream that the operator took away", { upstreams: [] }],
  ["an origin whose address became one's own control port", { own: true }],
])("%s ends what goes there, and nothing else", async (_name, change: Change) => {
  await using upstream = await testUpstream((_request, response) => response.write("begun"), { name: PINNED });
  const tunnel = { ...allowed(PINNED), effect: "tunnel" as const };
  const rules = [tunnel, allowed(HOST)];
  const upstreams = [upstream.override(PINNED)];
  await using plain = await testUpstream((_request, response) => response.write("begun"));
  await using fixture = await gatewayFixture({ policy: testPolicy([], { rules }) });
  const update = (over: Change): void =>
    fixture.attachment.update({
      ...fixture.egress,
      policy: testPolicy([], { rules: over.rules ?? rules, ...(over.own === true ? { ownPorts: [upstream.port] } : {}) }, 2),
      upstreams: [...(over.upstreams ?? upstreams), plain.override(HOST)],
    });
  update({});
  const stream = await openInside(fixture, `https://${HOST}/stream`);
  const socket = connectTls({
    host: "127.0.0.1",
    port: await fixture.reach(PINNED, 443),
    servername: PINNED,
    ca: upstream.override(PINNED).ca ?? "",
  });
  socket.on("error", () => undefined);
  socket.write(`GET /stream HTTP/1.1\r\nHost: ${PINNED}\r\n\r\n`);
  await once(socket, "data", WITHIN);
  const changedAt = performance.now();
  const closed = once(socket, "close", { signal: AbortSignal.timeout(10_000) });
  update(change);
  await closed;
  expect(performance.now() - changedAt).toBeLessThan(1_000);
  expect(stream.destroyed).toBe(false);
  stream.destroy();
});

type Keys = (secret: GatewaySecret) => readonly GatewaySecret[];
const ROTATED = "sk-proj-rotated-value-0123456789";

test.each<[string, Keys, number, string]>([
  ["taken away", (secret) => [{ ...secret, isRevoked: true }], 403, ""],
  ["bound to another host", (secret) => [{ ...secret, host: "other.example.com" }], 403, ""],
  ["given another value", (secret) => [{ ...secret, value: new Secret(ROTATED) }], 200, `Bearer ${ROTATED}`],
])("a key that is %s while the request that carries it is still coming does not leave with it", async (_name, change, status, sent) => {
  await using upstream = await testUpstream((request, response) => request.resume().on("end", () => response.end("{}")));
  const secret = { ...KEY, host: OPENAI };
  await using fixture = await gatewayFixture({
    allow: [OPENAI],
    upstreams: [upstream.override(OPENAI)],
    providers: createProviderTable({ customDomains: [] }),
    secrets: [secret],
  });
  const body = JSON.stringify({ model: "gpt-5", stream: true, messages: [{ role: "user", content: "x".repeat(100_000) }] });
  const socket = await tlsInside(fixture, OPENAI);
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: ${OPENAI}\r\nAuthorization: Bearer ${PLACEHOLDER}\r\nContent-Type: application/json`;
  socket.write(`${head}\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 50_000)}`);
  // the gateway has begun with it once another request that came later has been answered
  expect((await fetchInside(fixture, `https://${OPENAI}/v1/models`)).status).toBe(200);
  fixture.attachment.update({ ...fixture.egress, secrets: change(secret) });
  socket.write(body.slice(50_000));
  const answer = await readUntilClose(socket, { enough: (text) => text.includes("\r\n\r\n") });
  expect(answer.slice(9, 12)).toBe(String(status));
  expect(sentHeader(upstream.requests[1]?.rawHeaders, "authorization")).toEqual(sent === "" ? [] : [sent]);
  expect(upstream.requests).toHaveLength(status === 403 ? 1 : 2);
  if (status === 403) expect(await denials(fixture, "secret")).toMatchObject([{ host: OPENAI, status: 403 }]);
  socket.destroy();
});
