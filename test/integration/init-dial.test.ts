import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningInit, startInit } from "../support/init-process.ts";
import { waitFor } from "../support/wait-for.ts";

const signal = new AbortController().signal;

let init: RunningInit;
beforeAll(async () => {
  init = await startInit();
});
afterAll(async () => {
  await init[Symbol.asyncDispose]();
});

type Listening = AsyncDisposable & { readonly port: number; readonly sockets: Socket[] };

async function listen(onSocket: (socket: Socket) => void, host = "127.0.0.1"): Promise<Listening> {
  const sockets: Socket[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    onSocket(socket);
  });
  server.listen(0, host);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

const echo = (socket: Socket): void => {
  pipeline(socket, socket).catch(() => socket.destroy());
};

const dial = (port: number): Promise<Duplex> => init.client.dial(port, { signal });

const textOf = async (stream: Duplex): Promise<string> => Buffer.concat(await stream.toArray()).toString();

describe("a connection to a port inside", () => {
  test("carries bytes both ways and ends with both sides", async () => {
    await using server = await listen(echo);
    const stream = await dial(server.port);
    stream.end("hello");
    expect(await textOf(stream)).toBe("hello");
    await waitFor(() => stream.closed);
    await waitFor(() => server.sockets[0]?.closed === true);
  });

  test("reaches a server that listens on ::1 only", async () => {
    await using server = await listen((socket) => socket.end("over IPv6"), "::1");
    const stream = await dial(server.port);
    stream.end();
    expect(await textOf(stream)).toBe("over IPv6");
  });

  test("half-closes in either direction", async () => {
    await using server = await listen((socket) => {
      const chunks: Buffer[] = [];
      socket.on("data", (chunk) => chunks.push(chunk));
      socket.on("end", () => socket.end(`got ${Buffer.concat(chunks).toString()}`));
    });
    const first = await dial(server.port);
    first.end("everything");
    expect(await textOf(first)).toBe("got everything");

    await using talker = await listen((socket) => socket.end("goodbye"));
    const second = await dial(talker.port);
    expect(await textOf(second)).toBe("goodbye");
    const received: Buffer[] = [];
    talker.sockets[0]?.on("data", (chunk) => received.push(chunk));
    second.end("I still talk");
    await waitFor(() => Buffer.concat(received).toString() === "I still talk");
  });

  test("carries 64 MiB both ways at once", async () => {
    await using server = await listen(echo);
    const stream = await dial(server.port);
    const sent = createHash("sha256");
    const received = createHash("sha256");
    const source = function* (): Generator<Buffer> {
      for (let i = 0; i < 1024; i += 1) {
        const block = Buffer.alloc(65_536, createHash("sha256").update(String(i)).digest());
        sent.update(block);
        yield block;
      }
    };
    const read = (async () => {
      for await (const chunk of stream as AsyncIterable<Buffer>) received.update(chunk);
    })();
    await Promise.all([pipeline(source, stream), read]);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
  });

  test("nothing listens: refused", async () => {
    const server = await listen(echo);
    await server[Symbol.asyncDispose]();
    await expect(dial(server.port)).rejects.toMatchObject({ code: "UPSTREAM_ERROR", details: { errno: "ECONNREFUSED" } });
    await expect(dial(0)).rejects.toMatchObject({ code: "VALIDATION" });
    await expect(dial(65_536)).rejects.toMatchObject({ code: "VALIDATION" });
  });

  test("a reset of the peer is an error, not an end", async () => {
    await using server = await listen((socket) => socket.write("some"));
    const stream = await dial(server.port);
    const failed = once(stream, "error");
    stream.resume();
    await waitFor(() => server.sockets.length === 1);
    server.sockets[0]?.resetAndDestroy();
    const [error] = await failed;
    expect(error).toMatchObject({ code: "ECONNRESET" });
  });

  test("dropping it resets the peer", async () => {
    await using server = await listen(() => undefined);
    const stream = await dial(server.port);
    await waitFor(() => server.sockets.length === 1);
    const failed = once(server.sockets[0] as Socket, "error");
    (server.sockets[0] as Socket).resume();
    stream.destroy();
    expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
  });

  test("a peer that does not read stops this connection only", async () => {
    await using deaf = await listen((socket) => socket.pause());
    await using server = await listen(echo);
    const stuck = await dial(deaf.port);
    let written = 0;
    const block = Buffer.alloc(65_536);
    while (stuck.write(block)) written += block.length;
    const fill = (): void => {
      while (written < 64 * 1024 * 1024 && stuck.write(block)) written += block.length;
    };
    stuck.on("drain", fill);
    fill();
    const other = await dial(server.port);
    other.end("still here");
    expect(await textOf(other)).toBe("still here");
    expect(written).toBeLessThan(32 * 1024 * 1024);
    stuck.destroy();
  });

  test("200 at once", async () => {
    await using server = await listen(echo);
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const stream = await dial(server.port);
        stream.end(`number ${i}`);
        return await textOf(stream);
      }),
    );
    expect(answers).toEqual(Array.from({ length: 200 }, (_, i) => `number ${i}`));
  });

  test("ends with the sandbox", async () => {
    await using server = await listen(echo);
    const own = await startInit();
    const stream = await own.client.dial(server.port, { signal });
    const failed = once(stream, "error");
    stream.resume();
    await own[Symbol.asyncDispose]();
    expect((await failed)[0]).toMatchObject({ code: "SANDBOX_ENDED" });
    await expect(own.client.dial(server.port, { signal })).rejects.toMatchObject({ code: "SANDBOX_ENDED" });
  });
});
