import { createServer as createHttp, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { throwAwayAuthority } from "../../src/demo/stand-in/certificate.ts";

export type Received = {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
};

/** What a receiver does with a request: answers, or misbehaves. */
export type Behaviour =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  /** the connection is reset */
  | "reset"
  /** nothing is answered */
  | "hang"
  /** the answer's body comes one byte at a time, for ever */
  | "slow-loris";

export type Receiver = AsyncDisposable & {
  readonly url: string;
  readonly port: number;
  /** every request that was read whole, in order */
  readonly received: readonly Received[];
  /** PEM to trust, when it speaks TLS */
  readonly ca: string;
  behave(next: (request: Received, count: number) => Behaviour): void;
};

export type ReceiverOptions = {
  readonly tls?: boolean;
  /** name in its certificate; default localhost */
  readonly name?: string;
  readonly port?: number;
};

export const OK: Behaviour = { status: 200, body: "{}" };

/** A real HTTP server that keeps what it gets. */
export async function receiver(options: ReceiverOptions = {}): Promise<Receiver> {
  const received: Received[] = [];
  let behaviour: (request: Received, count: number) => Behaviour = () => OK;
  const authority = throwAwayAuthority(Date.now());
  const timers = new Set<NodeJS.Timeout>();
  const handle = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("error", () => outgoing.destroy());
    incoming.on("end", () => {
      const request = {
        method: incoming.method ?? "",
        path: incoming.url ?? "",
        headers: incoming.headers,
        body: Buffer.concat(chunks).toString(),
      };
      received.push(request);
      const act = behaviour(request, received.length);
      if (act === "reset") incoming.socket.resetAndDestroy();
      else if (act === "slow-loris") {
        outgoing.writeHead(200, { "content-type": "application/json" });
        const timer = setInterval(() => outgoing.write(" "), 20);
        timers.add(timer);
        outgoing.on("close", () => clearInterval(timer));
      } else if (act !== "hang") outgoing.writeHead(act.status, act.headers).end(act.body ?? "");
    });
  };
  const server: Server =
    options.tls === true ? createHttps({ ...authority.leafFor(options.name ?? "localhost") }, handle) : createHttp(handle);
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: options.tls === true ? `https://localhost:${port}/in` : `http://127.0.0.1:${port}/in`,
    port,
    received,
    ca: authority.caPem,
    behave: (next) => {
      behaviour = next;
    },
    [Symbol.asyncDispose]: async () => {
      for (const timer of timers) clearInterval(timer);
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        (server as ReturnType<typeof createHttp>).closeAllConnections();
      });
    },
  };
}

/** Ids of the events in JSON array bodies, in the order of arrival. */
export function arrivedIds(received: readonly Received[]): readonly string[] {
  return received.flatMap(({ body }) => (JSON.parse(body) as readonly { readonly id: string }[]).map(({ id }) => id));
}
