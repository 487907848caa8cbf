import { Secret } from "../../base/secret.ts";
import { awsRole, type Claim, claimOf, decoded, encoded, formatAuthorization, parseAuthorization } from "../../secrets/sigv4.ts";
import { ALGORITHM, type PathStyle, sha256, sign, type SignedRequest, UNSIGNED, verify } from "../../secrets/sigv4.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { takeRequestBody } from "../exchange/request-body.ts";
import type { GatewaySecret } from "../options.ts";
import type { SecretScopes } from "./secret-scope.ts";
import type { Misplaced } from "./secret-substitute.ts";
import { checkChunks, isChunkSigned, signChunks } from "./sigv4-body.ts";

const TOKEN = "x-amz-security-token";
const DIGEST = "x-amz-content-sha256";
/** the one of its kind whose chunks are not signed */
const UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/** A request whose placeholder credential was replaced; `sign` comes when its headers are final. */
export type Resigning = { sign(): void };

type Credential = { readonly id: GatewaySecret; readonly key: GatewaySecret; readonly token: GatewaySecret | undefined };
type Found = { readonly claim: Claim; readonly time: string; readonly place: "header" | "query" };

/** Whether there is a credential among them that requests are signed with. */
export function isSigned(secrets: readonly GatewaySecret[]): boolean {
  return secrets.some(({ scheme }) => scheme === "sigv4");
}

/**
 * A request to AWS that was signed inside with placeholder credentials is signed again with the real ones, in the header and in the
 * query (presigned) alike. Its signature must be right: so nothing is signed that the sandbox did not mean, and in the way it was meant.
 *
 * @param bodyBytes how much of a body is held to compute its digest, for clients that do not send it
 * @param refuse called when a body that passes turns out not to be signed as it says, chunk by chunk
 */
export async function resign(
  exchange: Exchange,
  secrets: readonly GatewaySecret[],
  scopes: SecretScopes,
  bodyBytes: number,
  refuse: (found: Misplaced) => void,
): Promise<Resigning | Misplaced | "gone" | undefined> {
  const { target } = exchange;
  if (target === undefined) return undefined;
  const bound = secrets.filter((secret) => secret.scheme === "sigv4" && scopes.isBound(secret, target.host));
  const found = signatureOf(exchange);
  if (found === undefined) return undefined;
  const id = bound.find((secret) => awsRole(secret.name)?.role === "id" && secret.placeholder === found.claim.id);
  if (id === undefined) return undefined;
  const credential = credentialOf(id, bound);
  const refused = credential === undefined ? undefined : refusal(exchange, credential, scopes);
  if (credential === undefined)
    return misplaced(id, `${id.name} is bound to ${target.host.text}, but the secret key that belongs to it is not`);
  if (refused !== undefined) return refused;
  const payloads = await payloadsOf(exchange, found, credential, bodyBytes);
  if (!Array.isArray(payloads)) return payloads as Misplaced | "gone";
  const { style, payload } = verified(exchange, found, credential, payloads) ?? {};
  if (style === undefined || payload === undefined)
    return misplaced(
      credential.key,
      `the request's signature was not made with the placeholder of ${credential.key.name}, or the request was changed since`,
      "let the client sign with the variables of the sandbox, and send the request as it was signed",
    );
  const { scope, signature } = found.claim;
  const chunks = isChunkSigned(payload) ? { key: credential.key, seed: signature, payload, time: found.time, scope } : undefined;
  const inBody = chunks === undefined ? undefined : await checkChunks(exchange, chunks);
  if (inBody !== undefined) return inBody;
  put(exchange, found, credential);
  return {
    sign: () => {
      const seed = signAgain(exchange, found, credential, style, payload);
      if (chunks !== undefined) signChunks(exchange, chunks, seed, refuse);
    },
  };
}

function signatureOf({ headers, target }: Exchange): Found | undefined {
  const [authorization, ...more] = valuesOf(headers, "authorization");
  const claim = authorization === undefined || more.length > 0 ? undefined : parseAuthorization(authorization);
  const params = paramsOf(target?.query ?? "");
  if (claim !== undefined && !params.has("X-Amz-Signature"))
    return { claim, time: valuesOf(headers, "x-amz-date")[0] ?? "", place: "header" };
  if (authorization !== undefined || params.get("X-Amz-Algorithm") !== ALGORITHM) return undefined;
  const presigned = claimOf(params.get("X-Amz-Credential"), params.get("X-Amz-SignedHeaders"), params.get("X-Amz-Signature"));
  return presigned === undefined ? undefined : { claim: presigned, time: params.get("X-Amz-Date") ?? "", place: "query" };
}

function credentialOf(id: GatewaySecret, bound: readonly GatewaySecret[]): Credential | undefined {
  const own = awsRole(id.name)?.credential;
  const part = (role: "key" | "token"): GatewaySecret | undefined =>
    bound.find(({ name }) => awsRole(name)?.role === role && awsRole(name)?.credential === own);
  const key = part("key");
  return key === undefined ? undefined : { id, key, token: part("token") };
}

function refusal({ method, target, origin }: Exchange, { id, key, token }: Credential, scopes: SecretScopes): Misplaced | undefined {
  for (const secret of [id, key, ...(token === undefined ? [] : [token])]) {
    if (secret.isRevoked === true) return { secret, finding: "secret_out_of_scope", reason: `the secret ${secret.name} was taken away` };
    const reason = target === undefined ? undefined : scopes.refusal(secret, method, target);
    if (reason !== undefined) return { secret, finding: "secret_out_of_scope", reason };
  }
  return origin?.carriesKeys === true ? undefined : misplaced(key, `the request would carry a signature of ${key.name} over plain HTTP`);
}

/** What the payload may be called in the signature, most likely first. */
async function payloadsOf(
  exchange: Exchange,
  { place }: Found,
  { key }: Credential,
  bodyBytes: number,
): Promise<readonly string[] | Misplaced | "gone"> {
  const [named] = [...valuesOf(exchange.headers, DIGEST), paramsOf(exchange.target?.query ?? "").get("X-Amz-Content-Sha256")];
  if (named !== undefined && named !== "") {
    if (!named.startsWith("STREAMING-") || named === UNSIGNED_CHUNKS || (place === "header" && isChunkSigned(named))) return [named];
    return misplaced(
      key,
      `the body is signed piece by piece in a way that is not known here (${named.slice(0, 64)}), and cannot be signed again`,
      "let the client sign it as a whole or not at all: payload_signing_enabled = false for the AWS CLI and SDKs, over https",
    );
  }
  if (exchange.body === undefined && (await takeRequestBody(exchange, { holdBytes: bodyBytes })) === "gone") return "gone";
  const { body } = exchange;
  if (body?.kind === "stream")
    return misplaced(key, "the body is too large to be signed again", `let the client send ${DIGEST}, or sign without the payload`);
  const digest = sha256(body?.kind === "bytes" ? body.bytes : "");
  return place === "query" ? [UNSIGNED, digest] : [digest];
}

function verified(
  exchange: Exchange,
  found: Found,
  { key }: Credential,
  payloads: readonly string[],
): { readonly style: PathStyle; readonly payload: string } | undefined {
  for (const payload of payloads) {
    const style = verify(requestOf(exchange, found, exchange.target?.query ?? "", payload), key.placeholder, found.claim.signature);
    if (style !== undefined) return { style, payload };
  }
  return undefined;
}

/** The real id and token in the place of the placeholders, in header or query; the signature follows. */
function put(exchange: Exchange, { place }: Found, { id, key, token }: Credential): void {
  const kept: string[] = [];
  for (let i = 0; i + 1 < exchange.headers.length; i += 2) {
    const name = exchange.headers[i] ?? "";
    const lower = name.toLowerCase();
    // whatever token was sent: it belongs to no other credential than this one
    if (lower !== TOKEN && (lower !== "authorization" || place === "query")) kept.push(name, exchange.headers[i + 1] ?? "");
  }
  if (token !== undefined && place === "header") kept.push("X-Amz-Security-Token", token.value.reveal());
  exchange.headers = kept;
  for (const secret of [id, key, ...(token === undefined ? [] : [token])]) {
    exchange.secretsInjected.push(secret.name);
    exchange.injected.push(secret);
  }
  exchange.keySource = id.source ?? "sandbox";
  if (place === "query") exchange.sentQuery = signedQuery(exchange, id, token);
}

/** The presigned query with the real credential and without a signature. */
function signedQuery(exchange: Exchange, id: GatewaySecret, token: GatewaySecret | undefined): string {
  const real = new Map<string, GatewaySecret>([
    ["X-Amz-Credential", id],
    ...(token === undefined ? [] : [["X-Amz-Security-Token", token] as const]),
  ]);
  const pairs = (exchange.target?.query ?? "").slice(1).split("&");
  const kept = pairs.flatMap((pair) => {
    const [name = "", value = ""] = pair.split("=", 2);
    const known = decoded(name);
    if (known === "X-Amz-Signature" || (known === "X-Amz-Security-Token" && token === undefined)) return [];
    const secret = real.get(known);
    if (secret === undefined) return [pair];
    const text =
      known === "X-Amz-Credential" ? decoded(value).replace(secret.placeholder, () => secret.value.reveal()) : secret.value.reveal();
    return [`${name}=${encoded(text)}`];
  });
  return `?${kept.join("&")}`;
}

/** The signature, which is in its place. */
function signAgain(exchange: Exchange, found: Found, { id, key, token }: Credential, style: PathStyle, payload: string): string {
  const names = new Set(found.claim.signedHeaders.filter((name) => name === "host" || valuesOf(exchange.headers, name).length > 0));
  if (token !== undefined && found.place === "header") names.add(TOKEN);
  const claim: Claim = { ...found.claim, id: id.value.reveal(), signedHeaders: [...names].toSorted() };
  if (found.place === "query") {
    const query = (exchange.sentQuery ?? "").replace(
      /([?&]X-Amz-SignedHeaders=)[^&]*/,
      (_, name: string) => `${name}${encoded(claim.signedHeaders.join(";"))}`,
    );
    const signature = sign(requestOf(exchange, { ...found, claim }, query, payload), key.value.reveal(), style);
    exchange.sentQuery = `${query}&X-Amz-Signature=${signature}`;
    hide(exchange, key, found, signature);
    return signature;
  }
  const signature = sign(requestOf(exchange, { ...found, claim }, exchange.target?.query ?? "", payload), key.value.reveal(), style);
  exchange.headers = [...exchange.headers, "Authorization", formatAuthorization({ ...claim, signature })];
  hide(exchange, key, found, signature);
  return signature;
}

/** A signature is worth its request, for as long as the sandbox said: an answer that repeats it shows the one that was made inside. */
function hide(exchange: Exchange, key: GatewaySecret, { claim }: Found, signature: string): void {
  exchange.injected.push({ ...key, value: new Secret(signature), placeholder: claim.signature });
}

function requestOf(exchange: Exchange, { claim, time }: Found, query: string, payload: string): SignedRequest {
  const headers = new Map(claim.signedHeaders.map((name) => [name, valuesOf(exchange.headers, name)]));
  const { contentLength } = exchange.request;
  // it is made anew from the body, and is no header on its way through
  if (headers.get("content-length")?.length === 0 && contentLength !== null) headers.set("content-length", [String(contentLength)]);
  return {
    method: exchange.method,
    path: exchange.target?.path ?? "/",
    query: query.replace(/^\?/, "").replace(/(?:^|&)X-Amz-Signature=[^&]*/, ""),
    headers,
    signedHeaders: claim.signedHeaders,
    payload,
    time,
    scope: claim.scope,
  };
}

function valuesOf(headers: readonly string[], lower: string): readonly string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) if (headers[i]?.toLowerCase() === lower) values.push(headers[i + 1] ?? "");
  return values;
}

/** Of several parameters of one name none is taken: servers differ on which counts. */
function paramsOf(query: string): ReadonlyMap<string, string> {
  const params = new Map<string, string>();
  const twice = new Set<string>();
  for (const pair of query.slice(1).split("&")) {
    const equals = pair.indexOf("=");
    const name = decoded(equals === -1 ? pair : pair.slice(0, equals));
    if (params.has(name)) twice.add(name);
    params.set(name, equals === -1 ? "" : decoded(pair.slice(equals + 1)));
  }
  for (const name of twice) params.delete(name);
  return params;
}

function misplaced(secret: GatewaySecret, reason: string, hint?: string): Misplaced {
  return { secret, finding: "secret_misplaced", reason, ...(hint === undefined ? {} : { hint }) };
}
