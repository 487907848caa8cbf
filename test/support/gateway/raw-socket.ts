import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { waitFor } from "../wait-for.ts";
import { tlsInside } from "./client.ts";
import type { Fixture } from "./fixture.ts";
import type { TestUpstream } from "./upstream.ts";

/** One end of a WebSocket as bytes. */
export type RawEnd = { readonly socket: Duplex; received(): Buffer; has(bytes: number): Promise<void> };

export type RawPair = { readonly client: RawEnd; readonly server: RawEnd; readonly head: string };

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** Opens a WebSocket through the gateway whose frames both sides write by hand. */
export async function rawSocket(
  fixture: Fixture,
  upstream: TestUpstream,
  target: { readonly host: string; readonly path: string; readonly extensions?: string },
): Promise<RawPair> {
  const { host, path, extensions } = target;
  const upgraded = once(upstream.server, "upgrade", { signal: AbortSignal.timeout(10_000) }) as Promise<
    [{ headers: Record<string, string> }, Duplex]
  >;
  const socket = await tlsInside(fixture, host);
  const offered = extensions === undefined ? "" : `Sec-WebSocket-Extensions: ${extensions}\r\n`;
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n${offered}\r\n`,
  );
  const [request, serverSocket] = await upgraded;
  const accept = createHash("sha1")
    .update(`${request.headers["sec-websocket-key"] ?? ""}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  const agreed = request.headers["sec-websocket-extensions"] === undefined ? "" : `Sec-WebSocket-Extensions: ${extensions ?? ""}\r\n`;
  serverSocket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n${agreed}\r\n`,
  );
  const head = await readHead(socket);
  return { client: rawEnd(socket), server: rawEnd(serverSocket), head };
}

function rawEnd(socket: Duplex): RawEnd {
  const chunks: Buffer[] = [];
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
  });
  socket.on("error", () => undefined);
  return {
    socket,
    received: () => Buffer.concat(chunks),
    has: async (wanted) => void (await waitFor(() => bytes >= wanted)),
  };
}

async function readHead(socket: Duplex): Promise<string> {
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const [chunk] = (await once(socket, "readable", { signal: AbortSignal.timeout(10_000) }).then(() => [
      socket.read() as Buffer | null,
    ])) as [Buffer | null];
    if (chunk === null) continue;
    text += chunk.toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end >= 0 && end + 4 < text.length) socket.unshift(Buffer.from(text.slice(end + 4), "latin1"));
  }
  return text.slice(0, text.indexOf("\r\n\r\n"));
}
