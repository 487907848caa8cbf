import type { Exchange } from "../exchange/exchange.ts";
import { withoutHeader } from "../exchange/headers.ts";
import type { GatewaySecret } from "../options.ts";
import type { SecretScopes } from "./secret-scope.ts";

/** The subprotocol in which OpenAI's WebSocket clients of browsers carry a key. */
const KEY_PROTOCOL = /^openai-insecure-api-key\./;

/**
 * Puts the organisation's key for the request's host into it, in the place of whatever credential the client sent: a key that somebody
 * brought along would lead what is sent into another account. Where the key may not be used (another part of the API, plain HTTP) the
 * request goes without any. A host that the sandbox has a binding of its own for is left to that.
 */
export function putOrgKey(exchange: Exchange, keys: readonly GatewaySecret[], scopes: SecretScopes): void {
  const { target, origin, generation } = exchange;
  if (target === undefined) return;
  const key = keys.find((one) => scopes.isBound(one, target.host));
  if (key === undefined || generation.egress.secrets.some((secret) => scopes.isBound(secret, target.host))) return;
  takeCredentials(exchange, key, target.query);
  if (origin?.carriesKeys !== true || scopes.refusal(key, exchange.method, target) !== undefined) return;
  const value = key.value.reveal();
  exchange.headers = [...exchange.headers, key.header, key.scheme === "bearer" ? `Bearer ${value}` : value];
  exchange.secretsInjected.push(key.name);
  exchange.injected.push(key);
  exchange.keySource = "org";
}

function takeCredentials(exchange: Exchange, key: GatewaySecret, query: string): void {
  let headers = exchange.headers;
  for (const { header } of [key, ...(key.others ?? [])]) headers = withoutHeader(headers, header);
  exchange.headers = headers.map((text, at) =>
    headers[at - 1]?.toLowerCase() === PROTOCOLS && at % 2 === 1 ? withoutKeyProtocol(text) : text,
  );
  // Google's clients send it as a parameter as well
  const kept = withoutKeyParameter(query);
  if (kept !== query) exchange.sentQuery = kept;
}

const PROTOCOLS = "sec-websocket-protocol";

function withoutKeyProtocol(value: string): string {
  const protocols = value.split(",").map((protocol) => protocol.trim());
  return protocols.filter((protocol) => !KEY_PROTOCOL.test(protocol)).join(", ");
}

const KEY_PARAMETERS: ReadonlySet<string> = new Set(["key", "api_key", "api-key", "access_token"]);

function withoutKeyParameter(query: string): string {
  if (query === "") return query;
  const pairs = query.slice(1).split("&");
  const kept = pairs.filter((pair) => !KEY_PARAMETERS.has(decodeLoosely(pair.split("=", 1)[0] ?? "").toLowerCase()));
  if (kept.length === pairs.length) return query;
  return kept.length === 0 ? "" : `?${kept.join("&")}`;
}

function decodeLoosely(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
