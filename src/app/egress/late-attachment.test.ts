import { EventEmitter } from "node:events";
import type { Server, Socket } from "node:net";
import { Duplex } from "node:stream";
import { expect, it } from "vitest";
import { silentLog } from "../../base/log.ts";
import type { EgressAttachment, Gateway, SandboxEgress, SandboxListeners } from "../../egress/gateway.ts";
import { LateAttachment } from "./late-attachment.ts";

function setUp(isLoaded: Promise<void> = Promise.resolve()) {
  const server = Object.assign(new EventEmitter(), { listening: true, closed: 0, close: (done: () => void) => (server.closed++, done()) });
  const dns = Object.assign(new EventEmitter(), { closed: 0, close: () => (dns.closed += 1) });
  const seen: unknown[] = [];
  let loads = 0;
  const attached: EgressAttachment = {
    update: (egress) => void seen.push(`update ${egress.name}`),
    drain: () => Promise.resolve(void seen.push("drain")),
    [Symbol.asyncDispose]: () => Promise.resolve(void seen.push("disposed")),
  };
  const attach = (egress: SandboxEgress, listeners: SandboxListeners): EgressAttachment => {
    seen.push(`attach ${egress.name}`);
    for (const own of listeners.tcp.values()) own.on("connection", (socket) => seen.push(socket));
    listeners.dns?.on("message", (message) => seen.push(String(message)));
    return attached;
  };
  const load = async (): Promise<Gateway> => {
    loads += 1;
    await isLoaded;
    return { attach } as unknown as Gateway;
  };
  const late = new LateAttachment({
    load,
    egress: { name: "first" } as SandboxEgress,
    listeners: { tcp: new Map([[80, server as unknown as Server]]), dns: dns as never },
    limits: { connectionsPerListener: 2, connectionsPerSandbox: 2 },
    log: silentLog,
  });
  return { late, server, dns, seen, loads: () => loads };
}

function connection(): Socket {
  return new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() }) as unknown as Socket;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("loads the gateway for the first connection and hands over what was held, under the policy of now", async () => {
  const { late, server, dns, seen, loads } = setUp();
  await settled();
  expect(loads()).toBe(0);
  const socket = connection();
  server.emit("connection", socket);
  dns.emit("message", Buffer.from("question"), {});
  late.update({ name: "second" } as SandboxEgress);
  await settled();
  expect(seen).toEqual(["attach second", socket, "question"]);
  const next = connection();
  server.emit("connection", next);
  expect(seen.at(-1)).toBe(next);
  expect(loads()).toBe(1);
  late.update({ name: "third" } as SandboxEgress);
  await late.drain(1);
  await late[Symbol.asyncDispose]();
  expect(seen.slice(4)).toEqual(["update third", "drain", "disposed"]);
});

it("holds no more than a sandbox may have, and not what has gone", async () => {
  const gate = Promise.withResolvers<void>();
  const { server, seen } = setUp(gate.promise);
  const [gone, kept, over] = [connection(), connection(), connection()];
  for (const socket of [gone, kept, over]) server.emit("connection", socket);
  expect(over.destroyed).toBe(true);
  gone.destroy();
  gate.resolve();
  await settled();
  expect(seen).toEqual(["attach first", kept]);
});

it("closes what is held when the gateway cannot be loaded, and tries again", async () => {
  const gate = Promise.withResolvers<void>();
  const { server, seen, loads } = setUp(gate.promise);
  const socket = connection();
  server.emit("connection", socket);
  gate.reject(new Error("no room"));
  await settled();
  expect(socket.destroyed).toBe(true);
  server.emit("connection", connection());
  await settled();
  expect(loads()).toBe(2);
  expect(seen).toEqual([]);
});

it("closes listeners that nobody ever connected to", async () => {
  const { late, server, dns, loads } = setUp();
  await late[Symbol.asyncDispose]();
  expect([server.closed, dns.closed, loads()]).toEqual([1, 1, 0]);
});
