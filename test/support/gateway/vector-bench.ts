import { once } from "node:events";
import { Agent, request as httpsRequest } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import type { Readable } from "node:stream";
import type { GatewayOptions } from "../../../src/egress/gateway.ts";
import { createMetrics } from "../../../src/metrics/create-metrics.ts";
import type { LlmDetail, Metrics } from "../../../src/metrics/metrics.ts";
import { createProviderTable } from "../../../src/providers/table.ts";
import type { LlmEvent } from "../../../src/schema/event.ts";
import { requestBody, type Vector } from "../vectors.ts";
import { waitFor } from "../wait-for.ts";
import { tlsInside } from "./client.ts";
import { type Fixture, gatewayFixture } from "./fixture.ts";
import { testUpstream, type TestUpstream } from "./upstream.ts";

/** What the upstream of one run sends: pieces with a turn of the event loop between any two, or all at once. */
export type Scripted = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly pieces: readonly Buffer[];
  /** what comes behind them: an end, a break, or nothing until the client leaves */
  readonly after: "end" | "break" | "silence";
  /** the pieces to send instead when the gateway asks for an answer without coding */
  readonly plain: readonly Buffer[];
  /** headers of those; default: the same without coding */
  readonly plainHeaders?: Readonly<Record<string, string>>;
};

export type Ran = {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly received: Buffer;
  /** bytes that the upstream sent */
  readonly sent: Buffer;
  /** body that the upstream was sent */
  readonly asked: Buffer;
  readonly call: Call;
  /** what of the call is counted beside its record */
  readonly detail: LlmDetail;
};

type Call = Omit<LlmEvent, "id" | "schema_version" | "timestamp">;
type Priced = Parameters<GatewayOptions["costOf"]>[0];

/** Everything that a bench counted and priced. */
class Books {
  /** of every run since the bench was opened */
  readonly calls: Call[] = [];
  /** since the last `forget` */
  readonly details = new Map<string, LlmDetail>();
  readonly priced: Priced[] = [];
  readonly #counting = createMetrics();
  readonly metrics: Metrics = {
    ...this.#counting,
    llm: (call, detail = {}) => {
      this.#counting.llm(call, detail);
      this.calls.push(call);
      this.details.set(call.request_id ?? "", detail);
    },
  };
}

export type Protocol = "http/1.1" | "h2";

type Scripts = Map<string, Scripted & { asked: Buffer; sent: Buffer }>;

/** One gateway and one upstream for many vectors, over both protocols, side by side. */
export class VectorBench implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #fixture: Fixture;
  readonly #scripts: Scripts;
  readonly books: Books;
  readonly #agents = new Map<string, Agent>();
  readonly #sessions = new Map<string, Promise<ClientHttp2Session>>();
  #runs = 0;

  private constructor(fixture: Fixture, upstream: TestUpstream, scripts: Scripts, books: Books) {
    this.books = books;
    this.#fixture = fixture;
    this.#scripts = scripts;
    this.#stack.use(upstream);
    this.#stack.use(fixture);
  }

  static async open(hosts: readonly string[]): Promise<VectorBench> {
    const scripts: Scripts = new Map();
    // plain, since TLS upstream has its own tests and this is about bytes
    const upstream = await testUpstream((request, response) => void play(scripts, request, response), { tls: false });
    const books = new Books();
    const fixture = await gatewayFixture({
      metrics: books.metrics,
      costOf: (priced) => {
        books.priced.push(priced);
        return null;
      },
      allow: hosts,
      slots: hosts.length,
      upstreams: hosts.map((host) => upstream.override(host)),
      providers: createProviderTable({
        customDomains: ["llm.corp.example"],
        providers: [{ name: "ollama", hosts: ["ollama.corp.example"], shape: "ollama" }],
      }),
    });
    return new VectorBench(fixture, upstream, scripts, books);
  }

  async run(vector: Vector, protocol: Protocol, script: Scripted, leavesAfter?: number): Promise<Ran> {
    this.#runs += 1;
    const run = `run${this.#runs}`;
    const kept = { ...script, asked: Buffer.alloc(0), sent: Buffer.alloc(0) };
    this.#scripts.set(run, kept);
    const { host, method, headers } = vector.request;
    // what is fetched again counts once for each id, so every run has its own
    const ownPath = vector.request.path.replace(
      /((?:responses|runs|batches|jobs|interactions)\/)([\w-]+)(?=$|[/?])/,
      (all, before: string, id: string) => (method === "GET" ? `${before}${id}-${run}` : all),
    );
    const path = `${ownPath}${ownPath.includes("?") ? "&" : "?"}vrun=${run}`;
    const ask = { host, method, path, headers: { ...headers, "accept-encoding": "gzip, deflate, br, zstd" }, body: requestBody(vector) };
    const answer = protocol === "h2" ? await this.#askHttp2(ask) : await this.#askHttp1(ask);
    const received = await readBody(answer.body, leavesAfter);
    const exchange = await waitFor(() => this.#fixture.seen.exchanges.find(({ url }) => url.endsWith(`vrun=${run}`)), {
      what: `the record of ${vector.id}`,
    });
    const call = await waitFor(() => this.#fixture.seen.calls.find(({ request_id }) => request_id === exchange.request_id), {
      what: `the call of ${vector.id}`,
    });
    return {
      status: answer.status,
      headers: answer.headers,
      received,
      sent: kept.sent,
      asked: kept.asked,
      call,
      detail: this.books.details.get(call.request_id ?? "") ?? {},
    };
  }

  async #askHttp1(ask: Ask): Promise<AnswerStream> {
    let agent = this.#agents.get(ask.host);
    if (agent === undefined) this.#agents.set(ask.host, (agent = new Agent({ keepAlive: true, maxSockets: 8 })));
    const port = await this.#fixture.reach(ask.host, 443);
    const { method, path } = ask;
    const headers = { ...ask.headers, host: ask.host, ...(ask.body.length > 0 ? { "content-length": String(ask.body.length) } : {}) };
    const request = httpsRequest({
      host: "127.0.0.1",
      port,
      servername: ask.host,
      ca: this.#fixture.gateway.authorityPem,
      agent,
      method,
      path,
      headers,
    });
    request.on("error", () => undefined);
    request.end(ask.body);
    const [response] = (await once(request, "response", { signal: AbortSignal.timeout(20_000) })) as [IncomingMessage];
    return { status: response.statusCode ?? 0, headers: response.headers, body: response };
  }

  async #askHttp2(ask: Ask): Promise<AnswerStream> {
    let session = this.#sessions.get(ask.host);
    if (session === undefined) this.#sessions.set(ask.host, (session = this.#session(ask.host)));
    const stream = (await session).request(
      { ":method": ask.method, ":path": ask.path, ":authority": ask.host, ":scheme": "https", ...ask.headers },
      { endStream: ask.body.length === 0 },
    );
    stream.on("error", () => undefined);
    if (ask.body.length > 0) stream.end(ask.body);
    const [headers] = (await once(stream, "response", { signal: AbortSignal.timeout(20_000) })) as [Record<string, unknown>];
    return { status: Number(headers[":status"]), headers, body: stream };
  }

  async #session(host: string): Promise<ClientHttp2Session> {
    const socket = await tlsInside(this.#fixture, host, { alpn: ["h2"] });
    const session = connectHttp2(`https://${host}`, { createConnection: () => socket });
    session.on("error", () => undefined);
    return session;
  }

  /** Lets go of what was recorded so far. */
  forget(): void {
    this.#fixture.seen.exchanges.length = 0;
    this.#fixture.seen.calls.length = 0;
    this.#scripts.clear();
    this.books.details.clear();
    this.books.priced.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents.values()) agent.destroy();
    for (const session of this.#sessions.values()) (await session).destroy();
    await this.#stack.disposeAsync();
  }
}

type Ask = {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
};

type AnswerStream = { readonly status: number; readonly headers: Readonly<Record<string, unknown>>; readonly body: Readable };

/** Everything until the end or the break; a client that leaves does so when it has this many bytes. */
async function readBody(body: Readable, leavesAfter: number | undefined): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const leave = (): void => {
    if (leavesAfter !== undefined && bytes >= leavesAfter) body.destroy();
  };
  body.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    leave();
  });
  body.on("error", () => resolve());
  body.on("close", () => resolve());
  leave();
  await promise;
  return Buffer.concat(chunks);
}

async function play(scripts: Scripts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const script = scripts.get(/vrun=(\w+)/.exec(request.url ?? "")?.[1] ?? "");
  if (script === undefined) {
    response.writeHead(500).end();
    return;
  }
  const asked: Buffer[] = [];
  for await (const chunk of request) asked.push(chunk as Buffer);
  script.asked = Buffer.concat(asked);
  const isPlain = request.headers["accept-encoding"] === "identity";
  const { "content-encoding": _coding, ...withoutCoding } = script.headers;
  const pieces = isPlain ? script.plain : script.pieces;
  script.sent = Buffer.concat(pieces);
  response.writeHead(script.status, isPlain ? (script.plainHeaders ?? withoutCoding) : script.headers);
  response.flushHeaders();
  for (const [i, piece] of pieces.entries()) {
    if (response.destroyed) return;
    const flows = response.write(piece);
    if (!flows) await once(response, "drain", { signal: AbortSignal.timeout(20_000) }).catch(() => undefined);
    else if (pieces.length < 16 && i < pieces.length - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  if (script.after === "silence") return;
  if (script.after === "end") response.end();
  else if (response.socket !== null) {
    // everything above has to be on the wire first
    await new Promise<void>((resolve) => response.write(Buffer.alloc(0), () => resolve()));
    response.socket.end();
  }
}
