import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** AWS Signature Version 4 (docs.aws.amazon.com, "Create a signed AWS API request"), as far as a request is judged and signed again. */

export const ALGORITHM = "AWS4-HMAC-SHA256";
export const UNSIGNED = "UNSIGNED-PAYLOAD";

/** What of a credential each of the three usual variables holds. */
export type AwsRole = "id" | "key" | "token";

const ROLES: readonly (readonly [string, AwsRole])[] = [
  ["SECRET_ACCESS_KEY", "key"],
  ["ACCESS_KEY_ID", "id"],
  ["SESSION_TOKEN", "token"],
];

/** `PROD_AWS_ACCESS_KEY_ID` is the id of the credential `PROD_AWS_`; undefined for a name of another kind. */
export function awsRole(name: string): { readonly credential: string; readonly role: AwsRole } | undefined {
  const found = ROLES.find(([suffix]) => name.endsWith(suffix));
  return found === undefined ? undefined : { credential: name.slice(0, -found[0].length), role: found[1] };
}

export type Scope = { readonly date: string; readonly region: string; readonly service: string };

/** What a client says it signed. */
export type Claim = {
  readonly id: string;
  readonly scope: Scope;
  /** lower-case, in order */
  readonly signedHeaders: readonly string[];
  readonly signature: string;
};

/** `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`; undefined when it is none. */
export function parseAuthorization(value: string): Claim | undefined {
  const match = /^\s*AWS4-HMAC-SHA256\s+(.*)$/.exec(value);
  if (match?.[1] === undefined) return undefined;
  const parts = new Map<string, string>();
  for (const part of match[1].split(",")) {
    const equals = part.indexOf("=");
    const name = part.slice(0, equals).trim();
    if (equals === -1 || parts.has(name)) return undefined;
    parts.set(name, part.slice(equals + 1).trim());
  }
  return claimOf(parts.get("Credential"), parts.get("SignedHeaders"), parts.get("Signature"));
}

export function claimOf(credential: string | undefined, headers: string | undefined, signature: string | undefined): Claim | undefined {
  const [id, date, region, service, end, ...more] = (credential ?? "").split("/");
  if (id === undefined || date === undefined || region === undefined || service === undefined || end !== "aws4_request") return undefined;
  if (more.length > 0 || id === "" || !/^\d{8}$/.test(date) || ![region, service].every((part) => /^[A-Za-z0-9_-]{1,64}$/.test(part)))
    return undefined;
  if (headers === undefined || !/^[a-z0-9!#$%&'*+.^_`|~-]+(?:;[a-z0-9!#$%&'*+.^_`|~-]+)*$/.test(headers)) return undefined;
  if (signature === undefined || !/^[0-9a-f]{64}$/.test(signature)) return undefined;
  return { id, scope: { date, region, service }, signedHeaders: headers.split(";"), signature };
}

export function formatAuthorization({ id, scope, signedHeaders, signature }: Claim): string {
  return `${ALGORITHM} Credential=${id}/${scopeText(scope)}, SignedHeaders=${signedHeaders.join(";")}, Signature=${signature}`;
}

export function scopeText({ date, region, service }: Scope): string {
  return `${date}/${region}/${service}/aws4_request`;
}

/** A request as it is signed. Texts hold one character for each byte. */
export type SignedRequest = {
  readonly method: string;
  /** as sent */
  readonly path: string;
  /** as sent, without `?`, without the signature */
  readonly query: string;
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly signedHeaders: readonly string[];
  /** hex digest, or one of the words that stand for it */
  readonly payload: string;
  /** `20150830T123600Z` */
  readonly time: string;
  readonly scope: Scope;
};

/** S3 signs a path as it is sent; every other service encodes it once more. Which one it is shows in what the client signed. */
export type PathStyle = "as sent" | "encoded twice";
export const PATH_STYLES: readonly PathStyle[] = ["as sent", "encoded twice"];

export function sign(request: SignedRequest, key: string, style: PathStyle): string {
  const text = [ALGORITHM, request.time, scopeText(request.scope), sha256(canonicalRequest(request, style))].join("\n");
  return hmac(signingKey(key, request.scope), text).toString("hex");
}

/** The way in which this key made this signature; undefined when it did not. */
export function verify(request: SignedRequest, key: string, signature: string): PathStyle | undefined {
  const claimed = Buffer.from(signature, "hex");
  return PATH_STYLES.find((style) => {
    const own = Buffer.from(sign(request, key, style), "hex");
    return own.length === claimed.length && timingSafeEqual(own, claimed);
  });
}

export function sha256(text: string | Buffer): string {
  return createHash("sha256")
    .update(typeof text === "string" ? Buffer.from(text, "latin1") : text)
    .digest("hex");
}

function canonicalRequest({ method, path, query, headers, signedHeaders, payload }: SignedRequest, style: PathStyle): string {
  const lines = signedHeaders.map((name) => `${name}:${(headers.get(name) ?? []).map(trimmed).join(",")}\n`);
  return [
    method,
    style === "as sent" ? (path === "" ? "/" : path) : encodedTwice(path),
    canonicalQuery(query),
    lines.join(""),
    signedHeaders.join(";"),
    payload,
  ].join("\n");
}

function trimmed(value: string): string {
  return value.trim().replace(/[ \t]+/g, " ");
}

function encodedTwice(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "." && segment !== "") segments.push(segment);
  }
  const end = /\/(?:\.{1,2})?$/.test(path) && segments.length > 0 ? "/" : "";
  return `/${segments.map(encoded).join("/")}${end}`;
}

function canonicalQuery(query: string): string {
  const pairs = query
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair): readonly [string, string] => {
      const equals = pair.indexOf("=");
      const [name, value] = equals === -1 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
      return [encoded(decoded(name)), encoded(decoded(value))];
    });
  const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  return pairs
    .toSorted(([a, x], [b, y]) => order(a, b) || order(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

/** Unreserved characters stay (RFC 3986 §2.3). */
export function encoded(text: string): string {
  return text.replace(/[^A-Za-z0-9._~-]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

export function decoded(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

export function signingKey(key: string, { date, region, service }: Scope): Buffer {
  const steps = [date, region, service, "aws4_request"];
  return steps.reduce<Buffer>((with_, step) => hmac(with_, step), Buffer.from(`AWS4${key}`, "latin1"));
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(Buffer.from(text, "latin1")).digest();
}
