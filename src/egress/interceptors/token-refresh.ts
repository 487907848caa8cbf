import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from "node:zlib";
import { messageOf } from "../../base/error.ts";
import { BUILT_IN_RULES } from "../../policy/decision.ts";
import type { Exchange, ResponseFilter } from "../exchange/exchange.ts";
import type { HeaderList } from "../exchange/header-list.ts";
import { headerOf, withoutHeader } from "../exchange/headers.ts";
import { refuse } from "../exchange/refusal.ts";
import { takeRequestBody } from "../exchange/request-body.ts";
import type { GatewaySecret, RefreshTurn, TokenEndpoint, TurnEnd } from "../options.ts";
import type { Runtime } from "../runtime.ts";
import { refusePolicy } from "./policy.ts";

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

/** A refresh (RFC 6749 §6) that carries a placeholder of the endpoint's file. */
export type Refreshing = { readonly endpoint: TokenEndpoint; readonly refresh: Refresh };

/**
 * The refresh that a request to a token endpoint is; undefined for another body, of which the search that follows makes what it makes
 * of every body. Another grant's answer holds tokens of another kind, which must not become the file's.
 */
export function refreshOf({ body, request, generation }: Exchange, endpoint: TokenEndpoint): Refreshing | undefined {
  if (body?.kind !== "bytes" || request.contentEncoding !== undefined) return undefined;
  const text = body.bytes.toString("utf8");
  const refresh = /^\s*application\/x-www-form-urlencoded\b/i.test(request.contentType ?? "") ? refreshInForm(text) : refreshInJson(text);
  const isOurs = ({ file, placeholder }: GatewaySecret): boolean => file === endpoint.file && placeholder === refresh?.token;
  return refresh === undefined || !generation.egress.secrets.some(isOurs) ? undefined : { endpoint, refresh };
}

/**
 * Puts the real token in the place of the placeholder; and sees to it that the answer's new tokens are kept here and masked, whether or
 * not the sandbox waits for it. `renewed`: the turn has the answer, and nothing is to be sent.
 */
export function putToken(
  runtime: Runtime,
  exchange: Exchange,
  { endpoint, refresh }: Refreshing,
  turn: RefreshTurn,
): "renewed" | undefined {
  // what was renewed while this request waited holds already
  const { secrets } = exchange.connection.attachment.generation.egress;
  const token = secrets.find(({ file, placeholder }) => file === endpoint.file && placeholder === refresh.token);
  if (token === undefined) return undefined;
  exchange.body = { kind: "bytes", bytes: Buffer.from(refresh.withToken(token.value.reveal())) };
  // no record and no hook is shown a body that holds a token
  exchange.carried ??= {};
  if (turn.renewed !== undefined) return "renewed";
  exchange.secretsInjected.push(token.name);
  exchange.injected.push(token);
  exchange.isReadToEnd = true;
  // before the search for what the answer repeats, which would take the tokens out that are to be kept
  exchange.filters.push(new TokenAnswer(runtime, exchange, turn));
  return undefined;
}

/** The answer that a client gets instead of the endpoint's. */
export function answerRenewed(runtime: Runtime, exchange: Exchange, answer: string): void {
  const { downstream, id, target } = exchange;
  const body = Buffer.from(`${answer}\n`);
  runtime.log.info("a refresh was answered with tokens that were renewed meanwhile", { request_id: id, host: target?.host.text });
  exchange.status = 200;
  const headers = ["content-type", "application/json", "content-length", String(body.length), "cache-control", "no-store"];
  downstream.head(200, "OK", headers);
  exchange.bytesIn += body.length;
  downstream.write(body);
  downstream.end([]);
  exchange.end = "complete";
}

/** A refresh whose turn did not come: nothing was sent, so it can be tried again, or when what it says is mended. */
export function refuseTurn(exchange: Exchange, { endpoint }: Refreshing, end: Exclude<TurnEnd, "done">): void {
  const { decision, target } = exchange;
  if (decision === undefined || target === undefined) return;
  if (end !== "busy") {
    const { refused: reason, hint } = end;
    exchange.decision = { ...decision, verdict: "deny", rule: BUILT_IN_RULES.protocol, reason, hint };
    refusePolicy(exchange);
    return;
  }
  const reason = `too many refreshes of the login ${endpoint.file} are under way`;
  exchange.decision = { ...decision, verdict: "deny", rule: BUILT_IN_RULES.protocol, reason };
  const facts = { host: target.host.text, port: target.port, rule: BUILT_IN_RULES.protocol, reason };
  refuse(exchange, { status: 429, error: "too_many_requests", ...facts });
}

const GRANT = "refresh_token";

/** What a refresh carries as its token, and its body with another one. */
type Refresh = { readonly token: string; withToken(token: string): string };

/** Undefined for what is no refresh. */
function refreshInJson(text: string): Refresh | undefined {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    // the search that follows looks into it as bytes
    return undefined;
  }
  if (typeof root !== "object" || root === null || Array.isArray(root)) return undefined;
  // what is sent is written anew, so that of several members of one name there is only the one that was looked at
  const { grant_type: grant, refresh_token: token } = root as Readonly<Record<string, unknown>>;
  if (grant !== GRANT || typeof token !== "string") return undefined;
  return { token, withToken: (real) => JSON.stringify({ ...root, refresh_token: real }) };
}

function refreshInForm(text: string): Refresh | undefined {
  const form = new URLSearchParams(text);
  const withToken = (real: string): string => {
    form.set("refresh_token", real);
    return form.toString();
  };
  const [token, ...others] = form.getAll("refresh_token");
  const grants = form.getAll("grant_type");
  if (token === undefined || others.length > 0 || grants.length !== 1 || grants[0] !== GRANT) return undefined;
  return { token, withToken };
}

/** Holds a successful answer, hands it over to whoever keeps the tokens, and lets through what the sandbox may see. */
class TokenAnswer implements ResponseFilter {
  readonly #runtime: Runtime;
  readonly #exchange: Exchange;
  readonly #turn: RefreshTurn;
  #held: Buffer[] = [];
  #size = 0;
  #isHeld = false;
  #coding = "identity";

  constructor(runtime: Runtime, exchange: Exchange, turn: RefreshTurn) {
    this.#runtime = runtime;
    this.#exchange = exchange;
    this.#turn = turn;
  }

  head(status: number, headers: HeaderList): HeaderList {
    // what is no success brings no tokens
    this.#isHeld = status >= 200 && status < 300;
    if (!this.#isHeld) return headers;
    this.#coding = headerOf(headers, "content-encoding")?.trim().toLowerCase() ?? "identity";
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
      if (this.#size > MAX_ANSWER) throw new Error("it is too large");
      return this.#turn.accept(decoded(Buffer.concat(this.#held.splice(0)), this.#coding).toString("utf8"));
    } catch (error) {
      const { id, target } = this.#exchange;
      // a parser's message may repeat what it read
      const why = error instanceof SyntaxError ? "it is not JSON" : messageOf(error);
      this.#runtime.log.warn("the answer to a refresh was not let through", { request_id: id, host: target?.host.text, error: why });
      return `${JSON.stringify({ error: "agentkernel_refused", error_description: `the answer to the refresh was not let through: ${why}` })}\n`;
    }
  }
}

/** A server may compress although it was asked not to; its tokens would be lost with what cannot be read. Throws past the limit. */
function decoded(bytes: Buffer, coding: string): Buffer {
  const limit = { maxOutputLength: MAX_ANSWER };
  if (coding === "identity" || coding === "") return bytes;
  if (coding === "gzip" || coding === "x-gzip") return gunzipSync(bytes, limit);
  if (coding === "br") return brotliDecompressSync(bytes, limit);
  if (coding === "zstd") return zstdDecompressSync(bytes, limit);
  if (coding === "deflate") return inflateSync(bytes, limit);
  throw new Error("its content coding is not known");
}
