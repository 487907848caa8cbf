import { messageOf } from "../../base/error.ts";
import type { Exchange, ResponseFilter } from "../exchange/exchange.ts";
import type { HeaderList } from "../exchange/header-list.ts";
import { headerOf, withoutHeader } from "../exchange/headers.ts";
import { takeRequestBody } from "../exchange/request-body.ts";
import type { GatewaySecret, TokenEndpoint } from "../options.ts";
import type { Runtime } from "../runtime.ts";

/** bytes of a refresh, and of its answer */
const MAX_REQUEST = 64 * 1024;
const MAX_ANSWER = 256 * 1024;

/** The token endpoint that a request is for: this host and port, this very path, POST, over TLS that was verified. */
export function tokenEndpointOf({ generation, target, origin, method, isUpgrade }: Exchange): TokenEndpoint | undefined {
  if (target === undefined || target.scheme !== "https" || origin?.carriesKeys !== true || isUpgrade) return undefined;
  if (method.toUpperCase() !== "POST" || target.query !== "") return undefined;
  const { host, port, path } = target;
  return generation.egress.tokenEndpoints?.find((one) => one.host === host.text && one.port === port && one.path === path);
}

/** Reads the body of a refresh, before its turn comes: who sends slowly keeps nobody waiting. `gone` when the sender left. */
export async function takeTokens(exchange: Exchange): Promise<"ready" | "gone"> {
  if (exchange.body !== undefined || exchange.request.contentEncoding !== undefined) return "ready";
  return takeRequestBody(exchange, { holdBytes: MAX_REQUEST });
}

/**
 * Puts real tokens in the place of placeholders that are the whole of a value in the body, in JSON or as a form; and sees to it that
 * the answer's new tokens are kept here and masked. A body of another kind, and a placeholder elsewhere in it, stay as they are: the
 * search that follows finds them.
 */
export function putTokens(runtime: Runtime, exchange: Exchange, endpoint: TokenEndpoint): void {
  const { body, request } = exchange;
  if (body?.kind !== "bytes" || request.contentEncoding !== undefined) return;
  // what was renewed while this request waited holds already
  const { secrets } = exchange.connection.attachment.generation.egress;
  const tokens = secrets.filter(({ file }) => file === endpoint.file);
  const used = new Set<GatewaySecret>();
  const change = (text: string): string => {
    const token = tokens.find(({ placeholder }) => placeholder === text);
    if (token === undefined) return text;
    used.add(token);
    return token.value.reveal();
  };
  const text = body.bytes.toString("utf8");
  const changed = /^\s*application\/x-www-form-urlencoded\b/i.test(request.contentType ?? "") ? inForm(text, change) : inJson(text, change);
  if (changed === undefined || used.size === 0) return;
  exchange.body = { kind: "bytes", bytes: Buffer.from(changed) };
  // no record and no hook is shown a body that holds a token
  exchange.carried ??= {};
  for (const token of used) {
    exchange.secretsInjected.push(token.name);
    exchange.injected.push(token);
  }
  // before the search for what the answer repeats, which would take the tokens out that are to be kept
  exchange.filters.push(new TokenAnswer(runtime, exchange, endpoint));
}

/** Members of the outermost object; undefined for what is none. */
function inJson(text: string, change: (text: string) => string): string | undefined {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    // the search that follows looks into it as bytes
    return undefined;
  }
  if (typeof root !== "object" || root === null || Array.isArray(root)) return undefined;
  return JSON.stringify(
    Object.fromEntries(
      Object.entries(root).map(([key, value]): [string, unknown] => [key, typeof value === "string" ? change(value) : value]),
    ),
  );
}

function inForm(text: string, change: (text: string) => string): string {
  const form = new URLSearchParams(text);
  return new URLSearchParams([...form].map(([key, value]): [string, string] => [key, change(value)])).toString();
}

/** Holds a successful answer, hands it over to whoever keeps the tokens, and lets through what the sandbox may see. */
class TokenAnswer implements ResponseFilter {
  readonly #runtime: Runtime;
  readonly #exchange: Exchange;
  readonly #endpoint: TokenEndpoint;
  #held: Buffer[] = [];
  #size = 0;
  #isHeld = false;
  #isCoded = false;

  constructor(runtime: Runtime, exchange: Exchange, endpoint: TokenEndpoint) {
    this.#runtime = runtime;
    this.#exchange = exchange;
    this.#endpoint = endpoint;
  }

  head(status: number, headers: HeaderList): HeaderList {
    // what is no success brings no tokens
    this.#isHeld = status >= 200 && status < 300;
    if (!this.#isHeld) return headers;
    const coding = headerOf(headers, "content-encoding")?.trim().toLowerCase() ?? "identity";
    this.#isCoded = coding !== "identity" && coding !== "";
    return ["content-length", "content-encoding", "content-md5", "digest", "etag"].reduce<HeaderList>(withoutHeader, headers);
  }

  chunk(chunk: Uint8Array): readonly Uint8Array[] {
    if (!this.#isHeld) return [chunk];
    this.#size += chunk.length;
    if (this.#size <= MAX_ANSWER) this.#held.push(Buffer.from(chunk));
    return [];
  }

  flush(): readonly Uint8Array[] {
    if (!this.#isHeld) return [];
    return [Buffer.from(this.#seen())];
  }

  #seen(): string {
    try {
      if (this.#isCoded) throw new Error("it is compressed, although it was asked not to be");
      if (this.#size > MAX_ANSWER) throw new Error("it is too large");
      return this.#endpoint.accept(Buffer.concat(this.#held.splice(0)).toString("utf8"));
    } catch (error) {
      const { id, target } = this.#exchange;
      // a parser's message may repeat what it read
      const why = error instanceof SyntaxError ? "it is not JSON" : messageOf(error);
      this.#runtime.log.warn("the answer to a refresh was not let through", { request_id: id, host: target?.host.text, error: why });
      return `${JSON.stringify({ error: "agentkernel_refused", error_description: `the answer to the refresh was not let through: ${why}` })}\n`;
    }
  }
}
