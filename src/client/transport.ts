import { Agent as HttpAgent, type IncomingMessage, request as httpRequest, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { AppError, ERRORS, errnoOf, type ErrorCode } from "../base/error.ts";
import type { Secret } from "../base/secret.ts";
import { failure } from "../schema/api.ts";

/** Where the server is: the user's own Unix socket, or an address with a key. */
export type ClientOptions =
  | { readonly socketPath: string }
  | {
      /** `http://127.0.0.1:18888` */
      readonly baseUrl: string;
      readonly apiKey?: Secret;
    };

export type CallOptions = {
  readonly signal?: AbortSignal | undefined;
  /** makes a POST safe to repeat */
  readonly idempotencyKey?: string | undefined;
};

export type RequestSpec = CallOptions & {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
};

/** characters of one JSON answer; two outputs of 16 MiB, twice, escaped */
const MAX_ANSWER_BYTES = 512 * 1024 * 1024;

/** HTTP to one server; connections are kept and reused. */
export class Transport implements Disposable {
  readonly options: ClientOptions;
  readonly #agent: HttpAgent;
  readonly #base: URL;

  constructor(options: ClientOptions) {
    this.options = options;
    if ("socketPath" in options) {
      this.#base = new URL("http://localhost");
    } else {
      this.#base = parseBase(options.baseUrl);
    }
    this.#agent = this.#base.protocol === "https:" ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
  }

  /** Words for messages: where the server was looked for. */
  get place(): string {
    return "socketPath" in this.options ? this.options.socketPath : this.#base.origin;
  }

  get base(): URL {
    return this.#base;
  }

  get headers(): Record<string, string> {
    const key = "socketPath" in this.options ? undefined : this.options.apiKey;
    return key === undefined ? {} : { authorization: `Bearer ${key.reveal()}` };
  }

  /** The `data` of an answer. @throws AppError with the server's code, message and hint */
  async data(spec: RequestSpec): Promise<{ readonly data: unknown; readonly nextCursor: string | undefined }> {
    const response = await this.send(spec);
    const text = await readText(response);
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch (cause) {
      throw new AppError("UPSTREAM_ERROR", `${this.place} does not answer like an agentkernel server`, { cause });
    }
    if (typeof body !== "object" || body === null || !("success" in body) || body.success !== true || !("data" in body)) {
      throw errorOf(body, response.statusCode ?? 0, this.place);
    }
    return { data: body.data, nextCursor: "next_cursor" in body && typeof body.next_cursor === "string" ? body.next_cursor : undefined };
  }

  /** The whole text of an answer that has no envelope. */
  async text(spec: RequestSpec): Promise<string> {
    return readText(await this.stream(spec));
  }

  /** The answer itself, once it is known to be no failure. */
  async stream(spec: RequestSpec): Promise<IncomingMessage> {
    const response = await this.send(spec);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    throw errorOf(parseOrNull(await readText(response)), status, this.place);
  }

  /** @throws AppError SERVER_UNREACHABLE when no answer came */
  send(spec: RequestSpec): Promise<IncomingMessage> {
    const url = new URL(this.#base.pathname.replace(/\/$/, "") + spec.path, this.#base);
    for (const [name, value] of Object.entries(spec.query ?? {})) if (value !== undefined) url.searchParams.set(name, String(value));
    const body = spec.body === undefined ? undefined : Buffer.from(JSON.stringify(spec.body), "utf8");
    const request: RequestOptions = {
      method: spec.method,
      agent: this.#agent,
      headers: {
        accept: "application/json",
        ...this.headers,
        ...(body === undefined ? {} : { "content-type": "application/json", "content-length": body.length }),
        ...(spec.idempotencyKey === undefined ? {} : { "idempotency-key": spec.idempotencyKey }),
        ...spec.headers,
      },
      ...(spec.signal === undefined ? {} : { signal: spec.signal }),
      ...("socketPath" in this.options ? { socketPath: this.options.socketPath } : {}),
    };
    return new Promise((resolve, reject) => {
      const outgoing = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, request, resolve);
      outgoing.once("error", (cause) => reject(unreachable(cause, this.place, spec.signal)));
      outgoing.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

export function unreachable(cause: Error, place: string, signal?: AbortSignal): Error {
  if (signal?.aborted === true) return cause;
  const errno = errnoOf(cause);
  const absent = errno === "ECONNREFUSED" || errno === "ENOENT";
  return new AppError("SERVER_UNREACHABLE", absent ? `no server answers at ${place}` : `the connection to ${place} failed`, {
    cause,
    hint: absent ? "start one with: agentkernel serve" : "is the server still running? agentkernel status",
  });
}

/** The server's own error; for an answer that is none of ours, a word on its status. */
export function errorOf(body: unknown, status: number, place: string): AppError {
  const parsed = failure.safeParse(body);
  if (!parsed.success) return new AppError("UPSTREAM_ERROR", `${place} answered with status ${status}, not like an agentkernel server`);
  const { code, error, hint, request_id } = parsed.data;
  return new AppError(isCode(code) ? code : "INTERNAL", error, { ...(hint === undefined ? {} : { hint }), details: { request_id, code } });
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new AppError("TOO_LARGE", `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // not ours: the caller reports the status
    return null;
  }
}

function parseBase(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new AppError("VALIDATION", `${text} is not a URL`, { cause });
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new AppError("VALIDATION", `${text} is not an http or https URL`);
  return url;
}
