import { createHash } from "node:crypto";
import { once } from "node:events";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { Secret } from "../../src/base/secret.ts";
import { createClient, type Client } from "../../src/client/client.ts";
import { decodeFrame, encodeFrame, EXEC_SUBPROTOCOL, EXEC_WINDOW, type ExecFrame } from "../../src/schema/exec-frames.ts";
import { startServer, type TestServer } from "../support/api-server.ts";
import { waitFor } from "../support/wait-for.ts";

let server: TestServer;
let client: Client;
beforeAll(async () => {
  server = await startServer();
  client = server.client;
  await client.createSandbox({ name: "web" });
});
afterAll(() => server[Symbol.asyncDispose]());

const pattern = (length: number): Buffer =>
  Buffer.from(Array.from({ length: 65_536 }, (_, i) => (i * 7 + (i >> 8)) & 0xff)).subarray(0, length);
async function sha(stream: AsyncIterable<Buffer>): Promise<{ readonly bytes: number; readonly hash: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, hash: hash.digest("hex") };
}

describe("exec over a WebSocket", () => {
  it("gives streams and exit code apart and exact", async () => {
    const exec = await client.exec("web", { command: ["both"] });
    exec.stdin.end();
    const [out, err, end] = await Promise.all([text(exec.stdout), text(exec.stderr), exec.exited]);
    expect([out, err, end]).toEqual(["out1\nout2\n", "err1\n", { code: 3, signal: null }]);
    expect(exec.id).toMatch(/^exe_/);
    expect(exec.pid).toBe(7);
  });

  it("carries 100 MB of binary output unchanged", async () => {
    const size = 100 * 1024 * 1024;
    const exec = await client.exec("web", { command: ["bytes", String(size)] });
    exec.stderr.resume();
    const expected = await sha(
      (async function* () {
        for (let left = size; left > 0; left -= 65_536) yield pattern(Math.min(left, 65_536));
      })(),
    );
    expect(await sha(exec.stdout)).toEqual(expected);
    expect(await exec.exited).toEqual({ code: 0, signal: null });
  });

  it("carries 50 MB there and back in odd pieces", async () => {
    const pieces = Array.from({ length: 50 }, (_, i) => Buffer.alloc(1_048_576 + (i % 7) - 3, i));
    const exec = await client.exec("web", { command: ["cat"] });
    exec.stderr.resume();
    const [, back, end] = await Promise.all([pipeline(Readable.from(pieces), exec.stdin), sha(exec.stdout), exec.exited]);
    expect(back).toEqual(await sha(Readable.from(pieces)));
    expect(end.code).toBe(0);
  });

  it.each([0, 1, 7, 125, 126, 127, 255])("gives exit code %i", async (code) => {
    const exec = await client.exec("web", { command: ["exit", String(code)] });
    expect(await exec.exited).toEqual({ code, signal: null });
  });

  it("delivers a signal although nobody reads the output and stdin is stuck", async () => {
    const exec = await client.exec("web", { command: ["yes"] });
    const stuck = pipeline(
      (async function* () {
        for (;;) yield Buffer.alloc(65_536);
      })(),
      exec.stdin,
    );
    await waitFor(() => exec.stdin.writableNeedDrain);
    exec.kill("SIGINT");
    exec.stdout.resume();
    exec.stderr.resume();
    expect(await exec.exited).toMatchObject({ code: null, signal: "SIGINT" });
    await expect(stuck).rejects.toThrow();
  });

  it("sends the terminal's size, first and later ones", async () => {
    const exec = await client.exec("web", { command: ["sizes"], tty: { rows: 24, cols: 80 } });
    exec.stderr.resume();
    let shown = "";
    exec.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString()));
    await waitFor(() => shown === "24x80\n");
    exec.resize({ rows: 50, cols: 132 });
    await waitFor(() => shown === "24x80\n50x132\n");
    exec.kill("SIGTERM");
    expect(await exec.exited).toMatchObject({ signal: "SIGTERM" });
  });

  it("tells the writer when the command closes its stdin", async () => {
    const exec = await client.exec("web", { command: ["closestdin"] });
    exec.stderr.resume();
    exec.stdout.resume();
    await waitFor(() => exec.stdin.destroyed);
    exec.kill("SIGKILL");
    await exec.exited;
  });

  it("passes a timeout on with its reason", async () => {
    const exec = await client.exec("web", { command: ["sleep"], timeout_ms: 10 });
    expect(await exec.exited).toEqual({ code: null, signal: "SIGTERM", reason: "timeout" });
  });

  it("kills the command when its client goes", async () => {
    const leaving = new AbortController();
    const exec = await client.exec("web", { command: ["sleep"] }, { signal: leaving.signal });
    await waitFor(() => server.server.active > 0);
    leaving.abort();
    await expect(exec.exited).rejects.toMatchObject({ code: "SERVER_UNREACHABLE" });
    await waitFor(() => server.server.active === 0);
  });

  it("gives the server's error for what was refused", async () => {
    await expect(client.exec("web", { command: ["nope"] })).rejects.toMatchObject({ code: "EXEC_NOT_FOUND", message: "nope: not found" });
    await expect(client.exec("nobody", { command: ["echo"] })).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: "there is no sandbox nobody",
    });
    await expect(client.exec("../x", { command: ["echo"] })).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(createClient({ socketPath: "/nonexistent/x.sock" }).exec("web", { command: ["echo"] })).rejects.toMatchObject({
      code: "SERVER_UNREACHABLE",
    });
  });

  it("works over TCP with a key, and not without", async () => {
    await using keyed = await startServer({ auth: { keys: [{ name: "ci", key: new Secret("k-123") }] } });
    await keyed.client.createSandbox({ name: "web" });
    using good = createClient({ baseUrl: keyed.url, apiKey: new Secret("k-123") });
    const exec = await good.exec("web", { command: ["echo", "hi"] });
    expect(await text(exec.stdout)).toBe("hi\n");
    expect(keyed.app.calls.at(-1)).toMatchObject({ method: "exec", user: "ci" });
    using bad = createClient({ baseUrl: keyed.url, apiKey: new Secret("wrong") });
    await expect(bad.exec("web", { command: ["echo"] })).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    const attempts = keyed.app.appended.filter(({ type }) => type === "auth.attempt");
    expect(attempts).toMatchObject([
      { outcome: "permit", method: "unix_socket" },
      { outcome: "permit", method: "api_key", path: "/sandboxes/web/exec/ws", actor: { kind: "api_key", user_id: "ci" } },
      { outcome: "deny", method: "api_key" },
    ]);
  });
});

describe("a client that breaks the protocol", () => {
  const open = async (): Promise<{ socket: WebSocket; frames: ExecFrame[] }> => {
    const socket = new WebSocket(`${server.url.replace("http", "ws")}/sandboxes/web/exec/ws`, EXEC_SUBPROTOCOL);
    const frames: ExecFrame[] = [];
    socket.on("message", (data) => frames.push(decodeFrame(data as Buffer)));
    await once(socket, "open");
    return { socket, frames };
  };
  const start = encodeFrame({ kind: "start", value: { command: ["sleep"] } });

  it.each<[string, readonly (Buffer | string)[]]>([
    ["text", ["hello"]],
    ["nothing", [Buffer.alloc(0)]],
    ["an unknown type", [Buffer.from([0x7f])]],
    ["data before the start", [encodeFrame({ kind: "data", stream: "stdin", bytes: Buffer.from("x") })]],
    ["two starts", [start, start]],
    ["a start without a command", [Buffer.concat([Buffer.from([0x10]), Buffer.from("{}")])]],
    ["a start with an unknown key", [Buffer.concat([Buffer.from([0x10]), Buffer.from('{"command":["a"],"x":1}')])]],
    ["broken JSON", [Buffer.concat([Buffer.from([0x10]), Buffer.from('{"command')])]],
    ["a window for stdin", [encodeFrame({ kind: "window", stream: "stdin", bytes: 1 })]],
  ])("that sends %s gets an error frame and the end", async (_name, messages) => {
    const { socket, frames } = await open();
    for (const message of messages) socket.send(message);
    await once(socket, "close");
    expect(frames.at(-1)).toMatchObject({ kind: "error", value: { code: "VALIDATION" } });
  });

  it("that sends more stdin than its window loses its command", async () => {
    const { socket, frames } = await open();
    socket.send(start);
    await waitFor(() => frames.some(({ kind }) => kind === "started"));
    for (let sent = 0; sent <= EXEC_WINDOW; sent += 65_536)
      socket.send(encodeFrame({ kind: "data", stream: "stdin", bytes: Buffer.alloc(65_536) }));
    await once(socket, "close");
    expect(frames.at(-1)).toMatchObject({ kind: "error", value: { code: "VALIDATION", error: expect.stringContaining("window") } });
  });

  it("gets no more than its window when it grants nothing", async () => {
    const { socket, frames } = await open();
    server.app.produced = 0;
    socket.send(encodeFrame({ kind: "start", value: { command: ["bytes", String(64 * 1024 * 1024)] } }));
    const received = (): number => frames.reduce((sum, frame) => sum + (frame.kind === "data" ? frame.bytes.length : 0), 0);
    await waitFor(() => received() === EXEC_WINDOW);
    expect(server.app.produced).toBeLessThan(EXEC_WINDOW + 512 * 1024);
    socket.terminate();
  });

  it("must offer the subprotocol", async () => {
    const socket = new WebSocket(`${server.url.replace("http", "ws")}/sandboxes/web/exec/ws`);
    const [error] = (await once(socket, "error")) as [Error];
    expect(error.message).toContain("400");
  });

  it("from a page of another origin is refused", async () => {
    const socket = new WebSocket(`${server.url.replace("http", "ws")}/sandboxes/web/exec/ws`, EXEC_SUBPROTOCOL, {
      origin: "https://evil.example",
    });
    const [error] = (await once(socket, "error")) as [Error];
    expect(error.message).toContain("403");
  });

  it("asking without an upgrade is told what is spoken here", async () => {
    expect(await server.api("GET", "/sandboxes/web/exec/ws")).toMatchObject({
      status: 400,
      body: { error: "this route speaks WebSocket" },
    });
  });
});
