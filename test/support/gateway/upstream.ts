import { once } from "node:events";
import { createServer as createHttp, type RequestListener, type Server as HttpServer, type ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Upstream } from "../../../src/egress/gateway.ts";
import { testAuthority, type TestAuthority } from "./certificates.ts";

export type TestUpstream = AsyncDisposable & {
  readonly server: Server | HttpServer;
  readonly port: number;
  /** requests seen */
  readonly requests: { readonly method: string; readonly url: string; readonly rawHeaders: readonly string[] }[];
  /** connections accepted so far */
  connections(): number;
  /** sends the traffic of `host` here */
  override(host: string): Upstream;
};

/** A real origin on loopback that answers for any host it is put in for. */
export async function testUpstream(
  listener: RequestListener,
  options: {
    readonly tls?: boolean;
    readonly expired?: boolean;
    readonly name?: string;
    readonly authority?: TestAuthority;
    readonly trusted?: boolean;
  } = {},
): Promise<TestUpstream> {
  const authority = options.authority ?? testAuthority();
  const tls = options.tls ?? true;
  const server = tls
    ? createServer({ ...authority.server(options.name ?? "localhost", { expired: options.expired === true }) })
    : createHttp();
  const requests: TestUpstream["requests"] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on("connection", (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("request", (request) =>
    requests.push({ method: request.method ?? "", url: request.url ?? "", rawHeaders: request.rawHeaders }),
  );
  server.on("request", listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    server,
    port,
    requests,
    connections: () => connections,
    override: (host) => ({
      host,
      url: new URL(`${tls ? "https" : "http"}://localhost:${port}`),
      ...(tls && options.trusted !== false ? { ca: authority.ca } : {}),
    }),
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/**
 * The last answer of a connection, before the request's body is there: "413 too large". It reads on after it, as RFC 9112 §9.6 asks of a
 * server: closing at once would reset the connection, and that may take the answer away from a sender that is just writing.
 */
export function refuseEarly(response: ServerResponse): void {
  const head = "HTTP/1.1 413 Payload Too Large\r\ncontent-type: text/plain\r\ncontent-length: 9\r\nconnection: close";
  response.socket?.end(`${head}\r\n\r\ntoo large`);
}
