import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect, createServer as createNetServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { Secret } from "../../src/base/secret.ts";
import { createClient } from "../../src/client/client.ts";
import { createServer } from "../../src/server/server.ts";
import { startServer } from "../support/api-server.ts";
import { createFakeApp } from "../support/fake-app.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const start = (listen: Parameters<typeof createServer>[0]["listen"], more: Partial<Parameters<typeof createServer>[0]> = {}) =>
  createServer({ app: createFakeApp(), listen, log: silentLog, ...more });

/** status of a request whose headers are not changed by any client's own ideas */
function raw(url: string, headers: Record<string, string>, path = "/status"): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    request(url + path, { headers, agent: false }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => (body += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on("error", reject)
      .end();
  });
}

describe("listening", () => {
  it("says in one line that a port is in use", async () => {
    const taken = createNetServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    await using server = await start({ port });
    await expect(server.start()).rejects.toMatchObject({
      code: "PORT_IN_USE",
      message: `127.0.0.1:${port} is in use by another process`,
      hint: expect.stringContaining("--port"),
    });
    taken.close();
  });

  it("leaves nothing behind when the second of two listeners fails", async () => {
    await using dir = await tempDir();
    const taken = createNetServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const socketPath = join(dir.path, "s");
    await using server = await start({ port: (taken.address() as { port: number }).port, socketPath });
    await expect(server.start()).rejects.toMatchObject({ code: "PORT_IN_USE" });
    expect(() => statSync(socketPath)).toThrow(/ENOENT/);
    taken.close();
  });

  it.each(["0.0.0.0", "::", "10.1.2.3", "example.com"])("refuses %s without a key", async (host) => {
    await expect(start({ host, port: 0 })).rejects.toMatchObject({ code: "CONFIG_INVALID", hint: expect.stringContaining("api_key") });
  });

  it("takes every address with a key", async () => {
    await using server = await start({ host: "0.0.0.0", port: 0 }, { auth: { keys: [{ name: "k", key: new Secret("s") }] } });
    const { url } = await server.start();
    expect(url).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
    const at = url!.replace("0.0.0.0", "127.0.0.1");
    expect((await raw(at, { authorization: "Bearer s" })).status).toBe(200);
    expect((await raw(at, {})).status).toBe(401);
  });

  it("makes a socket that only its user opens, and removes it", async () => {
    await using dir = await tempDir();
    const socketPath = join(dir.path, "deep", "api.sock");
    const before = process.umask(0o022);
    process.umask(before);
    {
      await using server = await start({ socketPath });
      expect(await server.start()).toEqual({ socketPath });
      expect(statSync(socketPath).mode & 0o777).toBe(0o600);
      expect(statSync(join(dir.path, "deep")).mode & 0o777).toBe(0o700);
      expect(process.umask(before)).toBe(before);
      await using second = await start({ socketPath });
      await expect(second.start()).rejects.toMatchObject({ code: "STATE_LOCKED" });
      using client = createClient({ socketPath });
      expect(await client.health()).toBe("ok");
    }
    expect(() => statSync(socketPath)).toThrow(/ENOENT/);
  });

  it("replaces the socket of a server that was killed, but no other file", async () => {
    await using dir = await tempDir();
    const socketPath = join(dir.path, "api.sock");
    const kill = `require("net").createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", kill], { timeout: 10_000 });
    expect(statSync(socketPath).isSocket()).toBe(true);
    await using server = await start({ socketPath });
    await server.start();
    const file = join(dir.path, "file");
    writeFileSync(file, "precious");
    await using other = await start({ socketPath: file });
    await expect(other.start()).rejects.toMatchObject({ code: "STATE_UNUSABLE" });
    expect(statSync(file).size).toBe(8);
  });

  it("refuses a socket path that the kernel cannot hold", async () => {
    await using server = await start({ socketPath: `/tmp/${"x".repeat(110)}` });
    await expect(server.start()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  it("says what is missing when there is nothing to listen on", async () => {
    await expect(start({})).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });
});

describe("who may call", () => {
  it("its own user on loopback, recognised by the socket's owner", async () => {
    await using server = await startServer();
    expect((await server.api("POST", "/run", { body: { command: ["echo"] } })).status).toBe(200);
    expect(server.app.calls.at(-1)?.user).toMatch(/\w/);
  });

  it("its own user on IPv6 loopback", async () => {
    await using server = await start({ host: "::1", port: 0 });
    const { url } = await server.start();
    expect((await raw(url!, {})).status).toBe(200);
  });

  it("not another user on loopback", requires("root", "curl"), async () => {
    await using server = await startServer();
    const curl = spawn("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-s", "-m", "10", `${server.url}/status`]);
    const [answer] = await Promise.all([text(curl.stdout), once(curl, "close")]);
    expect(JSON.parse(answer)).toMatchObject({
      success: false,
      code: "UNAUTHENTICATED",
      error: "another user of this machine needs an API key",
    });
    expect(server.app.appended).toMatchObject([{ type: "auth.attempt", actor: { user_id: "uid:65534" } }]);
  });

  it("nobody whose user cannot be told", async () => {
    await using server = await startServer({ auth: { peerUid: () => Promise.resolve(undefined) } });
    expect(await server.api("GET", "/status")).toMatchObject({
      status: 401,
      body: { code: "UNAUTHENTICATED", hint: expect.stringContaining("api_key") },
    });
    expect(await server.api("GET", "/health")).toMatchObject({ status: 200 });
    expect(server.app.appended).toMatchObject([{ type: "auth.attempt", outcome: "deny", method: "loopback_uid", path: "/status" }]);
  });

  it("with keys: whoever has one, by its name, and nobody else", async () => {
    const keys = [
      { name: "ci", key: new Secret("key-one"), email: "ci@example.com", orgId: "o1" },
      { name: "dev", key: new Secret("key-two") },
    ];
    await using server = await startServer({ auth: { keys } });
    const as = (authorization: string): ReturnType<typeof server.api> =>
      server.api("POST", "/run", { body: { command: ["echo"] }, headers: { authorization } });
    expect((await as("Bearer key-two")).status).toBe(200);
    expect(server.app.calls.at(-1)?.user).toBe("dev");
    expect((await as("bearer key-one")).status).toBe(200);
    for (const wrong of ["Bearer key-onE", "Bearer key-one2", "Bearer ", "Basic a2V5LW9uZQ==", "key-one"])
      expect((await as(wrong)).status, wrong).toBe(401);
    expect((await server.api("GET", "/status")).status).toBe(401);
    expect((await server.api("GET", "/openapi.json")).status).toBe(401);
    expect((await server.api("GET", "/stores")).status).toBe(401);
    // the socket needs none
    expect(await server.client.status()).toMatchObject({ version: "0.0.0-test" });
    expect(JSON.stringify(server.app.appended)).not.toContain("key-one");
    // every session stands in the log once; dev's and the socket's came after no refusal
    const admitted = server.app.appended.flatMap((event) =>
      event.type === "auth.attempt" && event.outcome === "permit" ? [[event.method, event.actor.user_id, event.path]] : [],
    );
    expect(admitted).toEqual([
      ["api_key", "dev", "/run"],
      ["api_key", "ci", "/run"],
      ["unix_socket", userInfo().username, "/status"],
    ]);
    const ci = server.app.appended.find(({ actor }) => actor.user_id === "ci");
    expect(ci?.actor).toEqual({ kind: "api_key", user_id: "ci", email: "ci@example.com", org_id: "o1", ip_address: "127.0.0.1" });
  });

  it("is recorded once for many requests, and before what the request does", async () => {
    await using server = await startServer();
    for (let i = 0; i < 20; i += 1) expect((await server.api("GET", "/status")).status).toBe(200);
    expect((await server.api("POST", "/run", { body: { command: ["echo"] } })).status).toBe(200);
    expect(server.app.appended.filter(({ type }) => type === "auth.attempt")).toMatchObject([
      { outcome: "permit", method: "loopback_uid", path: "/status", actor: { kind: "user", ip_address: "127.0.0.1" }, count: 1 },
    ]);
    // nobody is asked for a key there
    expect((await server.api("GET", "/health")).status).toBe(200);
    expect(server.app.appended[0]?.type).toBe("auth.attempt");
  });

  it("not with a key where there are none: it is judged, not ignored", async () => {
    await using server = await startServer();
    expect((await server.api("GET", "/status", { headers: { authorization: "Bearer x" } })).status).toBe(401);
  });

  it("records a flood of refusals in a bounded number of events", async () => {
    await using server = await startServer({ auth: { keys: [{ name: "k", key: new Secret("s") }] } });
    for (let i = 0; i < 150; i += 1) await server.api("GET", "/status");
    await server[Symbol.asyncDispose]();
    const refused = server.app.appended.flatMap((event) => (event.type === "auth.attempt" ? [event.count ?? 1] : []));
    // a minute may have ended meanwhile
    expect(refused.length).toBeLessThanOrEqual(122);
    expect(refused.reduce((sum, count) => sum + count, 0)).toBe(150);
  });
});

describe("pages in a browser", () => {
  it("cannot call under a name that was rebound to us", async () => {
    await using server = await startServer({ allowedHosts: ["kernel.corp.example"] });
    const { port } = new URL(server.url);
    for (const host of [
      "evil.example",
      `evil.example:${port}`,
      "127.0.0.1.evil.example",
      "localhost.evil.example",
      "10.0.0.1",
      "127.0.0.1@evil.example",
    ]) {
      expect((await raw(server.url, { host })).status, host).not.toBe(200);
    }
    for (const host of [
      `127.0.0.1:${port}`,
      `localhost:${port}`,
      "LOCALHOST",
      "[::1]:9",
      "kernel.corp.example",
      "Kernel.Corp.Example:443",
    ]) {
      expect((await raw(server.url, { host })).status, host).toBe(200);
    }
    expect((await raw(server.url, { host: "evil.example" }, "/health")).status).toBe(403);
  });

  it("cannot call across origins", async () => {
    await using server = await startServer();
    for (const origin of ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"]) {
      expect((await raw(server.url, { origin })).status, origin).toBe(403);
    }
    expect((await raw(server.url, { origin: server.url })).status).toBe(200);
    expect((await raw(server.url, { "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect((await raw(server.url, { "sec-fetch-site": "same-site" })).status).toBe(403);
    expect((await raw(server.url, { "sec-fetch-site": "same-origin" })).status).toBe(200);
  });

  it("can when their origin is allowed, and ask before", async () => {
    const origin = "https://console.example";
    await using server = await startServer({ allowedOrigins: [origin] });
    const ask = await fetch(`${server.url}/run`, { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } });
    expect(ask.status).toBe(204);
    expect(ask.headers.get("access-control-allow-origin")).toBe(origin);
    expect(ask.headers.get("access-control-allow-headers")).toContain("Authorization");
    const call = await fetch(`${server.url}/status`, { headers: { origin } });
    expect(call.headers.get("access-control-allow-origin")).toBe(origin);
    expect((await fetch(`${server.url}/run`, { method: "OPTIONS", headers: { origin: "https://evil.example" } })).status).toBe(403);
  });
});

describe("hostile connections", () => {
  it.each([
    ["no HTTP", "\x16\x03\x01\x02\x00\x01"],
    ["no Host", "GET /status HTTP/1.1\r\n\r\n"],
    ["an empty Host", "GET /status HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"],
    ["two lengths", "POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["a path outside", "GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"],
    ["an absolute URL of another host", "GET http://evil.example/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"],
    ["an unknown upgrade", "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"],
  ])("%s is answered with an error", async (_name, bytes) => {
    await using server = await startServer();
    const { port } = new URL(server.url);
    const socket = connect(Number(port), "127.0.0.1");
    socket.write(bytes);
    let answer = "";
    for await (const chunk of socket) answer += String(chunk);
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect((await server.api("GET", "/health")).status).toBe(200);
  });
});

it("a client that was refused a WebSocket and never closes its side is let go", async () => {
  await using server = await startServer({ auth: { ownUid: 4_294_967_294 } });
  const socket = connect({ port: Number(new URL(server.url).port), host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => undefined);
  socket.write("GET /sandboxes/web/exec/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  let answer = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) answer += String(chunk);
  expect(answer).toMatch(/^HTTP\/1\.1 401 /);
  // where nobody is any more the kernel answers with a reset
  const isReset = (): boolean => {
    if (!socket.destroyed) socket.write("x");
    return socket.destroyed;
  };
  await waitFor(isReset, { timeoutMs: 10_000, what: "the server to close its side" });
});

describe("shutting down", () => {
  it("ends event streams at once, lets a short command finish, and refuses what is new", async () => {
    const server = await startServer({ graceMs: 5_000 });
    const feed = await fetch(`${server.url}/events`);
    const run = server.api("POST", "/run", { body: { command: ["both"] } });
    await waitFor(() => server.app.running.size === 1);
    const at = performance.now();
    const down = server.server[Symbol.asyncDispose]();
    expect(await feed.text()).toBe("");
    expect((await run).body.data).toMatchObject({ exit_code: 3 });
    await down;
    expect(performance.now() - at).toBeLessThan(4_000);
    await expect(fetch(`${server.url}/health`)).rejects.toThrow();
    await server[Symbol.asyncDispose]();
  });

  it("ends what does not end by itself when the grace is over", async () => {
    const server = await startServer({ graceMs: 100 });
    await server.client.createSandbox({ name: "web" });
    const run = server.api("POST", "/run", { body: { command: ["sleep"] } }).catch(() => "cut");
    const exec = await server.client.exec("web", { command: ["sleep"] });
    await waitFor(() => server.app.running.size === 1);
    await server.server[Symbol.asyncDispose]();
    await run;
    await expect(exec.exited).rejects.toMatchObject({ code: "SERVER_UNREACHABLE" });
    await waitFor(() => server.app.running.size === 0);
    await server[Symbol.asyncDispose]();
  });

  it("knows when it is idle", async () => {
    await using server = await startServer();
    const leaving = new AbortController();
    const run = server.api("POST", "/run", { body: { command: ["sleep"] }, signal: leaving.signal }).catch(() => undefined);
    await waitFor(() => server.server.active === 1);
    expect(server.server.idleMs()).toBeUndefined();
    leaving.abort();
    await run;
    await waitFor(() => server.server.active === 0);
    expect(server.server.idleMs()).toBeGreaterThanOrEqual(0);
  });
});
