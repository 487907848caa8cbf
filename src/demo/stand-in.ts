import { createServer as createPlainServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { messageOf } from "../base/error.ts";
import type { ProviderId } from "../schema/provider.ts";
import { answer } from "./stand-in/answer.ts";
import { throwAwayAuthority } from "./stand-in/certificate.ts";
import { BadRequest, negotiate, readJson, send, type Coding } from "./stand-in/respond.ts";
import { shapeFor, STAND_IN_HOSTS } from "./stand-in/route.ts";
import { openaiError } from "./stand-in/openai-chat.ts";
import type { Piece, Reported, Shape, Turn } from "./stand-in/shape.ts";

/**
 * A stand-in for the model providers: no model, but their wire formats over TLS, chunk by chunk, with token figures that follow from
 * the request alone and a record of every figure that was sent. For the demo without a key, and for tests that compare ledgers.
 */
export type StandIn = AsyncDisposable & {
  /** `https://127.0.0.1:PORT`: the target of an upstream mapping, or a base URL; an address, since not every machine has a hosts file */
  readonly origin: string;
  readonly port: number;
  /** PEM of the authority to trust; empty without TLS */
  readonly caPem: string;
  /** every usage that reached a client's socket, in order */
  readonly sent: readonly SentUsage[];
  /** every request, in order */
  readonly requests: readonly SeenRequest[];
  close(): Promise<void>;
};

/** Figures in the product's terms: input includes cache, output includes reasoning; null where the wire does not carry them. */
export type SentUsage = Reported & {
  readonly provider: ProviderId;
  readonly model: string;
  readonly streaming: boolean;
  /** false: a stream whose client did not ask for usage */
  readonly reported: boolean;
};

export type SeenRequest = {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  /** as presented: `Bearer …`, or the value of `x-api-key`, `x-goog-api-key` */
  readonly key: string | null;
  readonly userAgent: string | null;
};

export type StandInOptions = {
  /** false: plain HTTP */
  readonly tls?: boolean;
  /** content coding of answers, for clients that accept it */
  readonly coding?: Coding;
  /** pause between two pieces of a stream (ms); default 5 */
  readonly delayMs?: number;
  /** awaited before a piece of a stream is sent */
  readonly beforePiece?: (index: number, request: SeenRequest) => Promise<void> | undefined;
  /** the keys that are accepted; default: any, but there must be one */
  readonly keys?: readonly string[];
};

/** the records are for tests and a demo, not for a service */
const MAX_RECORDS = 100_000;

export async function createStandIn(options: StandInOptions = {}): Promise<StandIn> {
  const sent: SentUsage[] = [];
  const requests: SeenRequest[] = [];
  const closing = new AbortController();
  let serial = 0;

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const target = new URL(request.url ?? "/", "http://stand-in.invalid");
    const seen = describeRequest(request, target);
    if (requests.length < MAX_RECORDS) requests.push(seen);
    const shape = shapeFor(target.pathname, seen.host);
    if (shape === undefined) return answerPlain(request, response);
    if (request.method !== "POST") return fail(response, shape, 405, `${request.method} is not what this path is for`);
    if (!isKeyAccepted(seen.key, options.keys))
      return fail(response, shape, 401, "the API key is missing or not known to the stand-in provider");
    const turn = shape.read(await readJson(request), target);
    if (turn.model === "") return fail(response, shape, 400, "a model must be named");
    serial += 1;
    const reply = answer(shape, turn, serial, Date.now());
    const record = (reported: boolean): void => {
      if (sent.length < MAX_RECORDS)
        sent.push({ ...toSent(shape, turn), ...(reported ? shape.reported(reply.figures) : NOTHING), reported });
    };
    const pieces: readonly Piece[] = turn.streaming
      ? shape.stream(turn, reply)
      : [{ bytes: JSON.stringify(shape.json(turn, reply)), reports: true }];
    const coding = negotiate(request, options.coding ?? "identity");
    response.writeHead(200, {
      "content-type": turn.streaming && turn.framing === "events" ? shape.contentType.stream : shape.contentType.json,
      "cache-control": "no-cache",
      "request-id": `req_${reply.id}`,
      "x-request-id": `req_${reply.id}`,
      server: "agentkernel stand-in provider",
      ...(coding === "identity" ? {} : { "content-encoding": coding }),
    });
    if (!pieces.some((piece) => piece.reports)) record(false);
    const left = new AbortController();
    response.once("close", () => left.abort());
    const before = options.beforePiece;
    await send(
      response,
      coding,
      pieces,
      {
        delayMs: turn.streaming ? (options.delayMs ?? 5) : 0,
        before: before === undefined ? undefined : (index) => before(index, seen),
        signal: AbortSignal.any([left.signal, closing.signal]),
      },
      () => record(true),
    );
  };

  const listener: RequestListener = (request, response) => {
    handle(request, response).catch((error: unknown) => {
      // a client that left, or a close of ours, needs no answer
      if (response.headersSent || response.destroyed) response.destroy();
      else plain(response, error instanceof BadRequest ? error.status : 500, openaiError(400, messageOf(error)));
    });
  };

  const authority = options.tls === false ? undefined : throwAwayAuthority(Date.now());
  const server = authority === undefined ? createPlainServer(listener) : tlsServer(authority, listener);
  const port = await listen(server);
  const close = async (): Promise<void> => {
    closing.abort();
    if (!server.listening) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    server.closeAllConnections();
    await promise;
  };
  return {
    origin: `${authority === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    port,
    caPem: authority?.caPem ?? "",
    sent,
    requests,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** `[[egress.upstreams]]` that send the providers' hosts to the stand-in. */
export function standInUpstreams(standIn: StandIn): readonly { readonly host: string; readonly url: string; readonly ca: string }[] {
  return STAND_IN_HOSTS.map((host) => ({ host, url: standIn.origin, ca: standIn.caPem }));
}

const NOTHING: Reported = {
  input: null,
  output: null,
  total: null,
  cacheRead: null,
  cacheWrite: null,
  reasoning: null,
  billedInput: null,
  billedOutput: null,
};

function toSent(shape: Shape, turn: Turn): { provider: ProviderId; model: string; streaming: boolean } {
  return { provider: shape.provider, model: turn.model, streaming: turn.streaming };
}

function describeRequest(request: IncomingMessage, target: URL): SeenRequest {
  const header = (name: string): string | null => {
    const value = request.headers[name];
    return typeof value === "string" ? value : null;
  };
  return {
    host: request.headers.host ?? "",
    method: request.method ?? "",
    path: target.pathname + target.search,
    key: header("authorization") ?? header("x-api-key") ?? header("x-goog-api-key") ?? target.searchParams.get("key"),
    userAgent: header("user-agent"),
  };
}

function isKeyAccepted(key: string | null, keys: readonly string[] | undefined): boolean {
  if (key === null) return false;
  return keys === undefined || keys.includes(key.replace(/^Bearer /i, ""));
}

/** What agents ask besides: whether somebody is there, which models exist, telemetry. */
function answerPlain(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  const path = (request.url ?? "/").split("?")[0];
  if (path === "/") plain(response, 200, { server: "agentkernel stand-in provider" });
  else if (path === "/v1/models" && request.method === "GET")
    plain(response, 200, { object: "list", data: [], models: [], has_more: false });
  else plain(response, 404, openaiError(404, `the stand-in provider has no ${path}`));
}

function fail(response: ServerResponse, shape: Shape, status: number, message: string): void {
  plain(response, status, shape.error(status, message));
}

function plain(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

function tlsServer(authority: ReturnType<typeof throwAwayAuthority>, listener: RequestListener): Server {
  // the default leaf is for clients that send no server name, as they do for an address
  const options = { ...authority.leafFor("127.0.0.1"), minVersion: "TLSv1.2" } as const;
  return createTlsServer({ ...options, SNICallback: (host, done) => done(null, authority.contextFor(host)) }, listener);
}

async function listen(server: Server): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    if (typeof address === "object" && address !== null) resolve(address.port);
  });
  return promise;
}
