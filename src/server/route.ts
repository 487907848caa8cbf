import type { IncomingMessage } from "node:http";
import { z } from "zod";
import type { Clock } from "../base/clock.ts";
import { AppError, type ErrorCode } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { App, Caller } from "../app/facade.ts";
import { readJsonBody } from "./body.ts";
import { parseInput } from "./validate.ts";

/** What every handler may use beside its own input. */
export type RouteContext = {
  readonly app: App;
  readonly clock: Clock;
  readonly log: Log;
  readonly caller: Caller & { readonly requestId: string };
  readonly headers: IncomingMessage["headers"];
  /** the client has gone, or the server's patience at its end is over */
  readonly signal: AbortSignal;
  /** the server is shutting down: endless streams end themselves now */
  readonly stopping: AbortSignal;
  /** the OpenAPI document of this server */
  readonly document: () => object;
};

export type Call<P, Q, B> = RouteContext & { readonly params: P; readonly query: Q; readonly body: B };

export type Method = "get" | "post" | "put" | "patch" | "delete";

/** A page of a list; `next` is absent on the last one. */
export class Page<T> {
  readonly items: readonly T[];
  readonly next: string | undefined;

  constructor(items: readonly T[], next?: string) {
    this.items = items;
    this.next = next;
  }
}

/** How an answer looks in the document: JSON in the envelope, plain text, an event stream, a protocol switch. */
export type Answer =
  | { readonly kind: "json"; readonly schema: z.ZodType; readonly paged?: boolean; readonly stream?: string }
  | { readonly kind: "text"; readonly contentType: string }
  | { readonly kind: "stream"; readonly events: string }
  | { readonly kind: "document" }
  | { readonly kind: "websocket" };

export type RouteInfo = {
  readonly method: Method;
  /** OpenAPI form, `/sandboxes/{name}` */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** status of success */
  readonly status?: 200 | 201;
  readonly answer: Answer;
  /** codes beyond those that every route may answer */
  readonly errors?: readonly ErrorCode[];
  /** needs no key */
  readonly open?: boolean;
};

type Inputs = { readonly params: z.ZodType; readonly query: z.ZodType; readonly body: z.ZodType };

/** A route with the types of its input worn off: what routers and documents deal with. */
export type Route = RouteInfo & {
  readonly inputs: Partial<Inputs>;
  /** reads and checks the input; what it gives runs the handler */
  readonly prepare: (raw: RawInput) => Promise<PreparedCall>;
};

export type RawInput = {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, readonly string[]>>;
  readonly incoming: IncomingMessage;
};

export type PreparedCall = {
  /** the body as it came, for telling requests with one idempotency key apart */
  readonly bodyText: string;
  readonly run: (context: RouteContext) => Promise<unknown>;
};

const nothing = z.strictObject({});
const emptyBody = z.strictObject({}).optional();

/** Declares a route. The handler gives the answer's data, a `Page` of it, or a whole `Response`. */
export function route<P extends z.ZodType = typeof nothing, Q extends z.ZodType = typeof nothing, B extends z.ZodType = typeof emptyBody>(
  info: RouteInfo,
  inputs: { readonly params?: P; readonly query?: Q; readonly body?: B },
  handle: (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => Promise<unknown>,
): Route {
  const takesBody = info.method !== "get";
  return {
    ...info,
    inputs,
    prepare: async (raw) => {
      const params = parseInput(inputs.params ?? nothing, raw.params, "path") as z.output<P>;
      const query = parseInput(inputs.query ?? nothing, flatten(raw.query), "query") as z.output<Q>;
      const { value, text } = takesBody ? await readJsonBody(raw.incoming) : { value: undefined, text: "" };
      const body = parseInput(inputs.body ?? emptyBody, value, "body") as z.output<B>;
      return { bodyText: text, run: (context) => handle({ ...context, params, query, body }) };
    },
  };
}

function flatten(query: RawInput["query"]): Record<string, string> {
  const flat: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, values] of Object.entries(query)) {
    if (values.length > 1) throw new AppError("VALIDATION", `query: ${name}: given more than once`);
    flat[name] = values[0] ?? "";
  }
  return { ...flat };
}
