/** No descriptor left for an upstream: the answer says whose limit it is, and the next request goes through as soon as there is one. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readUntilClose, tcpInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOSTS = ["first.example.com", "second.example.com"] as const;

/** The soft limit of this process; the hard one stays, so that it can be raised again. */
function limitTo(count: string): void {
  const { status, stderr } = spawnSync("prlimit", ["--pid", String(process.pid), `--nofile=${count}:`], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}

beforeAll(() => limitTo("1024"));
afterAll(() => limitTo("4096"));

function takeAll(): Disposable {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch {
    // EMFILE: that was the last one
  }
  return { [Symbol.dispose]: () => taken.forEach((fd) => closeSync(fd)) };
}

test("a request that would need another connection gets a 503 that says so; what is open goes on", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"), { tls: false });
  // an address, since a look into /etc/hosts takes a descriptor, too
  const url = new URL(`http://127.0.0.1:${upstream.port}`);
  await using fixture = await gatewayFixture({ allow: HOSTS, upstreams: HOSTS.map((host) => ({ host, url })) });
  /** over a connection that is open already */
  const ask = async (socket: Socket, host: string): Promise<string> => {
    socket.removeAllListeners("data");
    socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    return readUntilClose(socket, { enough: (text) => /\r\n\r\n[\s\S]*(?:ok|\}\n)/.test(text) });
  };
  const [first, second] = [await tcpInside(fixture, HOSTS[0], 80), await tcpInside(fixture, HOSTS[1], 80)];
  expect(await ask(first, HOSTS[0])).toMatch(/^HTTP\/1\.1 200 /);
  {
    using _taken = takeAll();
    const refused = await ask(second, HOSTS[1]);
    expect(refused).toMatch(/^HTTP\/1\.1 503 /);
    expect(JSON.parse(refused.slice(refused.indexOf("{")))).toMatchObject({ error: "limit_exceeded", rule: "upstream", code: "EMFILE" });
    // its upstream was kept, so it needs none
    expect(await ask(first, HOSTS[0])).toMatch(/^HTTP\/1\.1 200 /);
  }
  expect(await ask(second, HOSTS[1])).toMatch(/^HTTP\/1\.1 200 /);
  for (const socket of [first, second]) socket.destroy();
  await waitFor(() => fixture.seen.exchanges.length === 4);
  expect(fixture.seen.exchanges.map(({ error_code: code }) => code)).toEqual([undefined, "LIMIT_EXCEEDED", undefined, undefined]);
});
