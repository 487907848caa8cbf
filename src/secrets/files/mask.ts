import { createPlaceholder, type RandomSource } from "../placeholder.ts";

/** Shorter texts are no tokens, and appear in other data by chance. */
const MIN_TOKEN_LENGTH = 20;
/** characters of a signature, for 128 bits of chance and more */
const MIN_SIGNATURE_LENGTH = 22;

/**
 * A harmless text in the place of a token. Of a JWT (RFC 7519) header and claims stay, which clients read the account and the end of
 * validity from, and which are worth nothing without the signature: that is what is replaced. Everything else is replaced whole.
 */
export function maskToken(value: string, taken: readonly string[], random?: RandomSource): string {
  const claims = claimsOf(value);
  if (claims === undefined) return createPlaceholder(value, taken, random);
  return `${claims}.${createPlaceholder(value.slice(claims.length + 1), taken, random)}`;
}

/** Header and claims, with the dot between them; undefined for what is no signed JWT. */
export function claimsOf(value: string): string | undefined {
  const [header, claims, signature, ...more] = value.split(".");
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0) return undefined;
  if (signature.length < MIN_SIGNATURE_LENGTH || !/^[\w-]+$/.test(signature)) return undefined;
  return isJsonObject(header) && isJsonObject(claims) ? `${header}.${claims}` : undefined;
}

/** When a JWT ends, in ms since 1970; undefined for what is none or does not say. */
export function endOf(value: string): number | undefined {
  const { exp } = readClaims(value);
  return typeof exp === "number" ? exp * 1000 : undefined;
}

/** Clients that a JWT was made for: `client_id` of an access token (RFC 9068 §2.2), `azp` of an ID token (OpenID Connect Core §2). */
export function clientsOf(value: string): readonly string[] {
  const { client_id: client, azp } = readClaims(value);
  return [client, azp].filter((one): one is string => typeof one === "string" && one !== "");
}

function readClaims(value: string): Readonly<Record<string, unknown>> {
  const claims = claimsOf(value)?.split(".")[1];
  return claims === undefined ? {} : (JSON.parse(Buffer.from(claims, "base64url").toString("utf8")) as Record<string, unknown>);
}

/**
 * Whether a string of a file that nobody named could be a credential. In doubt it is: what was hidden by mistake is missed by somebody,
 * who then names it under `keep`.
 */
export function looksLikeToken(text: string): boolean {
  if (text.length < MIN_TOKEN_LENGTH || /\s/.test(text)) return false;
  const isTime = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(text);
  const isUrl = /^https?:\/\/[^?#@]*$/.test(text);
  const isAddress = /^[^@:/]{1,64}@[a-z0-9-]+(?:\.[a-z0-9-]+)+$/i.test(text);
  return !isTime && !isUrl && !isAddress;
}

function isJsonObject(part: string): boolean {
  if (!/^[\w-]+$/.test(part)) return false;
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    // not JSON: then it is no JWT
    return false;
  }
}
