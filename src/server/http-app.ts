import type { IncomingMessage, ServerResponse } from "node:http";
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Clock } from "../base/clock.ts";
import { AppError, ERRORS } from "../base/error.ts";
import { newId } from "../base/id.ts";
import type { Log } from "../base/log.ts";
import type { App } from "../app/facade.ts";
import type { Actor } from "../schema/event.ts";
import type { Authenticator, Transport } from "./auth.ts";
import { failureOf, type JsonAnswer, success } from "./envelope.ts";
import { type Attempt, IdempotencyStore } from "./idempotency.ts";
import { checkOrigin, type OriginRules } from "./origin.ts";
import { Page, type Route, type RouteContext } from "./route.ts";
import { LATER_PATHS } from "./routes/later.ts";

export type Bindings = { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse; readonly transport: Transport };
type Env = { Bindings: Bindings; Variables: { requestId: string; actor: Actor; route: string } };

export type HttpAppOptions = {
  readonly app: App;
  readonly routes: readonly Route[];
  readonly rules: OriginRules;
  readonly authenticator: Authenticator;
  readonly clock: Clock;
  readonly log: Log;
  readonly document: () => object;
  /** shutting down: endless streams end */
  readonly stopping: AbortSignal;
  /** shutting down, and the deadline is over: everything ends */
  readonly halted: AbortSignal;
};

/** Allowed pages may send and read these. */
const CORS_METHODS = "GET, POST, PUT, PATCH, DELETE";
const CORS_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID";

/** The control API as one fetch handler: door, routes, envelope. */
export function createHttpApp(options: HttpAppOptions): OpenAPIHono<Env> {
  const http = new OpenAPIHono<Env>({ strict: true });
  const idempotency = new IdempotencyStore(options.clock);

  http.use(async (c, next) => {
    const startedAt = options.clock.monotonic();
    const requestId = newId("req");
    c.set("requestId", requestId);
    c.set("route", "unknown");
    await next();
    c.header("x-request-id", requestId);
    c.header("x-content-type-options", "nosniff");
    if (!c.res.headers.has("cache-control")) c.header("cache-control", "no-store");
    const seconds = (options.clock.monotonic() - startedAt) / 1_000;
    options.app.metrics.apiRequest({ route: c.get("route"), method: c.req.method, status: c.res.status, seconds });
  });

  http.use(async (c, next) => {
    const { incoming } = c.env;
    checkOrigin(originFacts(incoming, c.env.transport), options.rules);
    const { origin } = incoming.headers;
    if (origin !== undefined && options.rules.allowedOrigins.includes(origin)) {
      c.header("access-control-allow-origin", origin);
      c.header("vary", "origin");
      if (c.req.method === "OPTIONS") {
        return c.body(null, 204, { "access-control-allow-methods": CORS_METHODS, "access-control-allow-headers": CORS_HEADERS });
      }
    }
    return next();
  });

  const open = new Set(options.routes.filter((route) => route.open === true).map((route) => route.path));
  http.use(async (c, next) => {
    const path = c.req.path;
    if (!open.has(path)) {
      c.set(
        "actor",
        await options.authenticator.authenticate(c.env.incoming, { transport: c.env.transport, path, requestId: c.get("requestId") }),
      );
    }
    return next();
  });

  for (const { path, feature } of LATER_PATHS) {
    http.all(path, (c) => {
      c.set("route", path);
      throw new AppError("NOT_IMPLEMENTED", `${feature}: not available in this version`);
    });
  }

  for (const route of options.routes) {
    http.on(route.method.toUpperCase(), routerPath(route.path), async (c) => {
      c.set("route", route.path);
      const prepared = await route.prepare({
        params: c.req.param(),
        query: c.req.queries(),
        incoming: c.env.incoming,
      });
      const attempt = (): Promise<Attempt> => answer(route, () => prepared.run(contextOf(c, options)));
      const key = route.method === "post" ? c.req.header("idempotency-key") : undefined;
      const { kind, user_id } = c.get("actor") ?? { kind: "system", user_id: "open" };
      const result =
        key === undefined
          ? await attempt()
          : await idempotency.run(
              { caller: `${kind}:${user_id}`, route: `${c.req.method} ${c.req.path}`, key, body: prepared.bodyText },
              async () => keepFailures(await settled(attempt), c.get("requestId"), options.log, c.env.outgoing.destroyed),
            );
      if (result.kind === "response") return result.response;
      if (result.kind === "replay") c.header("idempotency-replayed", "true");
      return json(c, result.answer);
    });
  }

  http.notFound((c) => {
    throw new AppError("NOT_FOUND", `there is no ${c.req.method} ${c.req.path.slice(0, 200)}`, {
      hint: "GET /openapi.json lists what there is",
    });
  });
  http.onError((error, c) => {
    const { status, body } = failureOf(error, c.get("requestId"), options.log);
    if (body.code === "TOO_LARGE") c.header("connection", "close");
    if (body.code === "UNAUTHENTICATED") c.header("www-authenticate", "Bearer");
    return json(c, { status, text: JSON.stringify(body) });
  });
  return http;
}

export function originFacts(incoming: IncomingMessage, transport: Transport): Parameters<typeof checkOrigin>[0] {
  const { host, origin } = incoming.headers;
  const site = incoming.headers["sec-fetch-site"];
  return {
    host,
    origin,
    secFetchSite: typeof site === "string" ? site : undefined,
    localAddress: transport === "unix" ? undefined : (incoming.socket.localAddress ?? ""),
  };
}

/** `/sandboxes/{name}` as the router writes it. A uuid is told from the routes under a sandbox that is named `by-uuid`. */
export function routerPath(path: string): string {
  return path.replace("{uuid}", ":uuid{[0-9a-fA-F-]{36}}").replace(/\{(\w+)\}(?!\})/g, ":$1");
}

function contextOf(c: Context<Env>, options: HttpAppOptions): RouteContext {
  const left = new AbortController();
  const { outgoing } = c.env;
  // `close` also comes after a complete answer, when it means nothing
  const onClose = (): void => {
    if (!outgoing.writableFinished) left.abort();
  };
  if (outgoing.destroyed) onClose();
  else outgoing.once("close", onClose);
  return {
    app: options.app,
    clock: options.clock,
    log: options.log,
    caller: { actor: c.get("actor"), requestId: c.get("requestId") },
    headers: c.env.incoming.headers,
    signal: AbortSignal.any([left.signal, options.halted]),
    stopping: options.stopping,
    document: options.document,
  };
}

async function answer(route: Route, run: () => Promise<unknown>): Promise<Attempt> {
  const data = await run();
  if (data instanceof Response) return { kind: "response", response: data };
  const status = route.status ?? 200;
  if (data instanceof Page) return { kind: "answer", answer: success(data.items, { status, nextCursor: data.next }) };
  return { kind: "answer", answer: success(data, { status }) };
}

async function settled(attempt: () => Promise<Attempt>): Promise<{ readonly done: Attempt } | { readonly failed: unknown }> {
  try {
    return { done: await attempt() };
  } catch (failed) {
    return { failed };
  }
}

/** A refusal is an answer to keep; what may go better the next time, or was cut off by its caller, is not. */
function keepFailures(
  result: { readonly done: Attempt } | { readonly failed: unknown },
  requestId: string,
  log: Log,
  callerLeft: boolean,
): Attempt {
  if ("done" in result) return result.done;
  const { status, body } = failureOf(result.failed, requestId, log);
  const answer: JsonAnswer = { status, text: JSON.stringify(body) };
  const retry = status >= 500 || callerLeft || (result.failed instanceof AppError && ERRORS[result.failed.code].retry);
  return retry ? { kind: "retryable", answer } : { kind: "answer", answer };
}

function json(c: Context<Env>, answer: JsonAnswer): Response {
  return c.newResponse(answer.text, answer.status as 200, { "content-type": "application/json; charset=utf-8" });
}
