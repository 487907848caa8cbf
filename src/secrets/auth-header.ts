import type { AuthHeader } from "../schema/secret-scheme.ts";
import { awsRole } from "./sigv4.ts";

const BEARER: AuthHeader = { header: "authorization", scheme: "bearer" };

/** Hosts whose API keys do not go into `Authorization`; a leading dot stands for every name below. From the providers' SDKs. */
const RAW_HEADERS: readonly (readonly [string, string])[] = [
  ["api.anthropic.com", "x-api-key"],
  ["generativelanguage.googleapis.com", "x-goog-api-key"],
  [".openai.azure.com", "api-key"],
  [".services.ai.azure.com", "api-key"],
  [".cognitiveservices.azure.com", "api-key"],
  [".azure-api.net", "api-key"],
];

export const SIGNED: AuthHeader = { header: "authorization", scheme: "sigv4" };
/** AWS, its regions of China, its lambdas and newer services; others that speak its protocol are bound in full. */
const AWS_HOSTS = [".amazonaws.com", ".amazonaws.com.cn", ".on.aws", ".api.aws"];

/** Names whose values are OAuth tokens, which Anthropic takes as Bearer only. */
const TOKEN_NAMES = ["ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"];

/** The header that this host's clients use by default. `host` is a lower-case pattern. */
export function defaultAuthHeader(name: string, host: string): AuthHeader {
  if (TOKEN_NAMES.includes(name)) return BEARER;
  if (awsRole(name) !== undefined && AWS_HOSTS.some((end) => host.endsWith(end))) return SIGNED;
  const text = host.startsWith("*.") ? host.slice(1) : host;
  const found = RAW_HEADERS.find(([known]) => (known.startsWith(".") ? text.endsWith(known) : text === known));
  return found === undefined ? BEARER : { header: found[1], scheme: "raw" };
}

/** Where else the host's own clients put the same credential: Anthropic's SDK sends an API key as Bearer too, Google's and Azure's know both. */
export function otherAuthHeaders(chosen: AuthHeader): readonly AuthHeader[] {
  return chosen.header === BEARER.header ? [] : [BEARER];
}

/** Headers that frame a message, name its target or belong to one connection (RFC 9110 §7.6.1): a value there would change the request. */
const FORBIDDEN: readonly string[] = [
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "upgrade",
  "expect",
  "content-encoding",
  "content-type",
  "range",
  "if-range",
];

/** Why a secret may not go into this header; undefined when it may. */
export function headerError(header: string): string | undefined {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(header)) return "is not a header name";
  if (/^[0-9]+$/.test(header)) return "is a number: a port is no part of a binding";
  const name = header.toLowerCase();
  if (FORBIDDEN.includes(name) || name.startsWith("proxy-") || name.startsWith("sec-"))
    return "frames or routes the request and cannot carry a secret";
  return undefined;
}
