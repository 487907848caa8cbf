import { once } from "node:events";
import { connect } from "node:http2";
import type { Readable } from "node:stream";
import { type Ask, openInside, tlsInside } from "./client.ts";
import type { Fixture } from "./fixture.ts";

/** What a client may speak with the gateway. */
export const PROTOCOLS = ["http/1.1", "h2"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** An answer while it streams; destroying `body` is leaving. */
export type Opened = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
};

/** As `openInside`, over either protocol. */
export async function openOver(protocol: Protocol, fixture: Fixture, url: string, ask: Ask = {}): Promise<Opened> {
  if (protocol === "http/1.1") {
    const response = await openInside(fixture, url, ask);
    return { status: response.statusCode ?? 0, headers: response.headers, body: response };
  }
  const { hostname, host, pathname, search } = new URL(url);
  const socket = await tlsInside(fixture, ask.via ?? hostname, { alpn: ["h2"], servername: ask.servername ?? hostname });
  const session = connect(`https://${host}`, { createConnection: () => socket });
  session.on("error", () => undefined);
  const { host: authority = host, ...headers } = ask.headers ?? {};
  const method = ask.method ?? (ask.body === undefined ? "GET" : "POST");
  const pseudo = { ":method": method, ":path": ask.path ?? `${pathname}${search}`, ":authority": String(authority), ":scheme": "https" };
  const stream = session.request({ ...pseudo, ...headers }, { endStream: ask.body === undefined });
  stream.once("close", () => session.destroy());
  if (ask.body !== undefined) stream.end(ask.body);
  const [head] = (await once(stream, "response", { signal: AbortSignal.timeout(10_000) })) as [Opened["headers"]];
  return { status: Number(head[":status"]), headers: head, body: stream };
}

/** As `fetchInside`, over either protocol. */
export async function fetchOver(
  protocol: Protocol,
  fixture: Fixture,
  url: string,
  ask: Ask = {},
): Promise<Omit<Opened, "body"> & { readonly body: Buffer; readonly text: string }> {
  const { status, headers, body } = await openOver(protocol, fixture, url, ask);
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  const whole = Buffer.concat(chunks);
  return { status, headers, body: whole, text: whole.toString() };
}
