import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import type { Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { ignore } from "../base/background.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { AppError } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { App } from "../app/facade.ts";
import type { NewEvent } from "../schema/event.ts";
import { AdmissionRecorder } from "./admissions.ts";
import { type ApiKey, Authenticator, type AuthenticatorOptions, type Transport } from "./auth.ts";
import { type Bindings, createHttpApp } from "./http-app.ts";
import { listenTcp, listenUnix } from "./listen.ts";
import { openApiDocument } from "./openapi.ts";
import { isLoopbackName, type OriginRules } from "./origin.ts";
import { RefusalRecorder } from "./refusals.ts";
import { ROUTES } from "./routes/all.ts";
import { Upgrades } from "./upgrade.ts";

export type ServerOptions = {
  readonly app: App;
  /** TCP when `port` is given (0: a free one), a Unix socket when `socketPath` is; both are possible */
  readonly listen: { readonly host?: string; readonly port?: number; readonly socketPath?: string };
  readonly auth?: { readonly keys?: readonly ApiKey[] } & Pick<AuthenticatorOptions, "peerUid" | "ownUid">;
  /** names that this server may be called by, beside loopback and the address it listens on */
  readonly allowedHosts?: readonly string[];
  /** origins of pages that may call */
  readonly allowedOrigins?: readonly string[];
  readonly log: Log;
  readonly clock?: Clock;
  /** ms that running requests have to end when the server shuts down */
  readonly graceMs?: number;
};

export type ServerAddress = { readonly url?: string; readonly socketPath?: string };

export interface Server extends AsyncDisposable {
  /** resolves when it accepts connections */
  start(): Promise<ServerAddress>;
  /** requests and WebSockets under way */
  readonly active: number;
  /** ms (monotonic) since the last request ended; undefined while one is under way */
  idleMs(): number | undefined;
}

const DEFAULT_GRACE_MS = 5_000;
const MAX_CONNECTIONS = 1_024;

/**
 * The control API over this app.
 * @throws AppError CONFIG_INVALID for an address that other machines reach when there is no key
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { host = "127.0.0.1", port, socketPath } = options.listen;
  if (port === undefined && socketPath === undefined)
    throw new AppError("CONFIG_INVALID", "the server has neither a port nor a socket to listen on");
  const keys = options.auth?.keys ?? [];
  if (port !== undefined && !isLoopbackName(host) && keys.length === 0) {
    throw new AppError("CONFIG_INVALID", `without an API key the server may listen on loopback only, not on ${host}`, {
      hint: "set [server] api_key, or use --host 127.0.0.1",
    });
  }
  return new ControlServer(options, host);
}

class ControlServer implements Server {
  readonly #options: ServerOptions;
  readonly #host: string;
  readonly #clock: Clock;
  readonly #stopping = new AbortController();
  readonly #halted = new AbortController();
  readonly #http: ReturnType<typeof createHttpApp>;
  readonly #upgrades: Upgrades;
  readonly #refusals: RefusalRecorder;
  readonly #servers: HttpServer[] = [];
  readonly #connections = new Set<Socket>();
  #requests = 0;
  #lastAt: number;
  #closing: Promise<void> | undefined;

  constructor(options: ServerOptions, host: string) {
    this.#options = options;
    this.#host = host;
    this.#clock = options.clock ?? systemClock;
    this.#lastAt = this.#clock.monotonic();
    const { app, log } = options;
    const rules: OriginRules = {
      allowedHosts: [host.toLowerCase(), ...(options.allowedHosts ?? []).map((name) => name.toLowerCase())],
      allowedOrigins: options.allowedOrigins ?? [],
    };
    const recording = { append: (event: NewEvent) => app.events.log.append(event), clock: this.#clock };
    const admissions = new AdmissionRecorder(recording);
    this.#refusals = new RefusalRecorder(recording);
    const authenticator = new Authenticator({
      ...options.auth,
      keys: options.auth?.keys ?? [],
      onAdmitted: (admission, request) => admissions.record(admission, request),
      onRefused: (refusal, request) => {
        admissions.refused(refusal.actor);
        this.#refusals.record(refusal, request);
      },
    });
    const shared = { app, rules, authenticator, log, stopping: this.#stopping.signal, halted: this.#halted.signal };
    let document: object | undefined;
    this.#http = createHttpApp({
      ...shared,
      routes: ROUTES,
      clock: this.#clock,
      document: () => (document ??= openApiDocument(ROUTES, app.version)),
    });
    this.#upgrades = new Upgrades(shared);
  }

  get active(): number {
    return this.#requests + this.#upgrades.count;
  }

  idleMs(): number | undefined {
    if (this.active > 0) {
      this.#lastAt = this.#clock.monotonic();
      return undefined;
    }
    return this.#clock.monotonic() - this.#lastAt;
  }

  async start(): Promise<ServerAddress> {
    if (this.#servers.length > 0 || this.#closing !== undefined) throw new AppError("CONFLICT", "the server was started before");
    const { port, socketPath } = this.#options.listen;
    try {
      if (socketPath !== undefined) await listenUnix(this.#make("unix"), socketPath);
      if (port === undefined) return socketPath === undefined ? {} : { socketPath };
      const { address, port: taken, family } = await listenTcp(this.#make("tcp"), this.#host, port);
      const url = `http://${family === "IPv6" ? `[${address}]` : address}:${taken}`;
      return socketPath === undefined ? { url } : { url, socketPath };
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  #make(transport: Transport): HttpServer {
    const listener = getRequestListener((request, env) => this.#http.fetch(request, { ...(env as Bindings), transport }), {
      overrideGlobalObjects: false,
      errorHandler: () => new Response(null, { status: 400 }),
    });
    const server = createHttpServer({ keepAliveTimeout: 30_000, headersTimeout: 20_000, requestTimeout: 120_000 }, (incoming, outgoing) => {
      this.#requests += 1;
      outgoing.once("close", () => {
        this.#requests -= 1;
        this.#lastAt = this.#clock.monotonic();
        // a connection kept alive would hold up the end
        if (this.#stopping.signal.aborted) setImmediate(() => server.closeIdleConnections());
      });
      ignore(listener(incoming, outgoing), "the listener answers every fault itself");
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.on("connection", (socket: Socket) => {
      this.#connections.add(socket);
      socket.once("close", () => this.#connections.delete(socket));
    });
    server.on("upgrade", (incoming, socket, head) => this.#upgrades.handle(incoming, socket, head, transport));
    this.#servers.push(server);
    return server;
  }

  /** Stops accepting, ends endless streams, gives the rest its grace, then ends everything. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const listening = this.#servers.filter((server) => server.listening);
    const closed = Promise.all(listening.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
    this.#stopping.abort();
    for (const server of listening) server.closeIdleConnections();
    const halt = setTimeout(() => this.#halt(), this.#options.graceMs ?? DEFAULT_GRACE_MS);
    // libuv removes the Unix socket's file
    await closed;
    clearTimeout(halt);
    this.#halted.abort();
    this.#refusals[Symbol.dispose]();
  }

  #halt(): void {
    this.#halted.abort();
    this.#upgrades.terminate();
    // one turn, in which what was aborted may still answer
    setImmediate(() => {
      for (const socket of this.#connections) socket.destroy();
    });
  }
}
