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
import { permitted, readRefresh, type Refresh } from "./refresh-request.ts";
import type { Misplaced } from "./secret-substitute.ts";
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
  const refresh = readRefresh(request.contentType, body.bytes.toString("utf8"));
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
): "renewed" | Misplaced | undefined {
  // what was renewed while this request waited holds already
  const { secrets } = exchange.connection.attachment.generation.egress;
  const token = secrets.find(({ file, placeholder }) => file === endpoint.file && placeholder === refresh.token);
  if (token === undefined) return undefined;
  const may = permitted(refresh, turn.grant);
  if ("refused" in may) {
    const reason = `the refresh of the login ${endpoint.file} ${may.refused}, so nothing was sent`;
    return { secret: token, finding: "secret_out_of_scope", reason, hint: REFUSED_HINT };
  }
  if (may.changed.length > 0)
    runtime.log.info("a refresh was sent as its login is, with members changed or left out", {
      request_id: exchange.id,
      name: endpoint.file,
      members: may.changed.slice(0, 16).join(", "),
    });
  exchange.body = { kind: "bytes", bytes: Buffer.from(refresh.body(token.value.reveal(), may.members)) };
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

const REFUSED_HINT =
  "let the agent renew with the client and the members that it logged in with, or name others in refresh.client_ids and refresh.parameters of [[secret_files]]";

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
