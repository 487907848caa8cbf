import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type Agent } from "node:http";
import { request as httpsRequest, type Agent as TlsAgent } from "node:https";
import type { Fixture } from "./fixture.ts";

export type Answer = {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly rawHeaders: readonly string[];
  readonly trailers: NodeJS.Dict<string>;
  readonly body: Buffer;
  readonly text: string;
};

export type Ask = {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
  readonly agent?: Agent | TlsAgent;
  /** name for DNS and the connection, when it is not the Host */
  readonly via?: string;
  readonly servername?: string;
  readonly port?: number;
};

/** What a program in the sandbox does with `https://host/path`. */
export async function fetchInside(fixture: Fixture, url: string, ask: Ask = {}): Promise<Answer> {
  const response = await openInside(fixture, url, ask);
  return readAll(response);
}

/** As `fetchInside`, but hands out the response while it streams. */
export async function openInside(fixture: Fixture, url: string, ask: Ask = {}): Promise<IncomingMessage> {
  const parsed = new URL(url);
  const secure = parsed.protocol === "https:";
  const destination = Number(parsed.port || (secure ? 443 : 80));
  const port = await fixture.reach(ask.via ?? parsed.hostname, destination);
  const common = {
    host: "127.0.0.1",
    port,
    method: ask.method ?? (ask.body === undefined ? "GET" : "POST"),
    path: ask.path ?? `${parsed.pathname}${parsed.search}`,
    headers: { host: parsed.host, ...ask.headers },
    ...(ask.agent === undefined ? { agent: false as const } : { agent: ask.agent }),
  };
  const request = secure
    ? httpsRequest({ ...common, servername: ask.servername ?? parsed.hostname, ca: fixture.gateway.authorityPem })
    : httpRequest(common);
  request.end(ask.body);
  const [response] = (await once(request, "response", { signal: AbortSignal.timeout(10_000) })) as [IncomingMessage];
  return response;
}

export async function readAll(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    rawHeaders: response.rawHeaders,
    trailers: response.trailers,
    body,
    text: body.toString(),
  };
}

/** A TLS connection into the gateway, for writing bytes by hand. */
export async function tlsInside(
  fixture: Fixture,
  host: string,
  options: { readonly alpn?: readonly string[]; readonly servername?: string; readonly port?: number } = {},
): Promise<TLSSocket> {
  const port = await fixture.reach(host, options.port ?? 443);
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    servername: options.servername ?? host,
    ca: fixture.gateway.authorityPem,
    ...(options.alpn === undefined ? {} : { ALPNProtocols: [...options.alpn] }),
  });
  await once(socket, "secureConnect");
  return socket;
}

export async function tcpInside(fixture: Fixture, host: string, port: number): Promise<Socket> {
  const socket = connectTcp({ host: "127.0.0.1", port: await fixture.reach(host, port) });
  await once(socket, "connect");
  return socket;
}

/** Everything the peer sends until it closes, or until `enough` says so; what came so far after `timeoutMs`. */
export async function readUntilClose(
  socket: Socket,
  options: { readonly enough?: (text: string) => boolean; readonly timeoutMs?: number } = {},
): Promise<string> {
  let text = "";
  return new Promise((resolve) => {
    const settle = (): void => {
      clearTimeout(timer);
      resolve(text);
    };
    const timer = setTimeout(settle, options.timeoutMs ?? 5_000);
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (options.enough?.(text) === true) settle();
    });
    socket.on("close", settle);
    socket.on("error", settle);
  });
}
