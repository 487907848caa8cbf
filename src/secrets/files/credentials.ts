import { AppError } from "../../base/error.ts";
import { checkSecretValue } from "../value.ts";
import type { FileRefresh, SecretFileDefinition } from "../../schema/secret-file-definition.ts";
import { isObject, type Json, mapStrings, valueAt, withValueAt } from "./json-pointer.ts";
import { clientsOf, endOf, looksLikeToken } from "./mask.ts";

/** What a file with logins holds, by pointer: the tokens it is known for, and others that look like some. */
export type Credentials = {
  readonly root: Json;
  readonly tokens: ReadonlyMap<string, string>;
  /** strings that look like tokens and were not named: they are hidden and may go nowhere */
  readonly unknown: ReadonlyMap<string, string>;
};

/** @throws VALIDATION for what is no JSON object, or holds nothing to hide; the content is never repeated */
export function readCredentials(text: string, definition: SecretFileDefinition): Credentials {
  const root = parse(text, definition);
  const tokens = new Map<string, string>();
  for (const { at } of definition.tokens) {
    const value = valueAt(root, at);
    if (value === undefined || value === null || value === "") continue;
    if (typeof value !== "string") throw bad(definition, `holds no text at ${at}`);
    checkSecretValue(value, `${definition.name}${at}`);
    tokens.set(at, value);
  }
  if (tokens.size === 0) throw bad(definition, `holds none of ${definition.tokens.map(({ at }) => at).join(", ")}`);
  const unknown = new Map<string, string>();
  mapStrings(root, (string, pointer) => {
    if (!tokens.has(pointer) && !definition.keep.includes(pointer) && looksLikeToken(string)) unknown.set(pointer, string);
    return string;
  });
  return { root, tokens, unknown };
}

/** The file as the sandbox sees it. */
export function shownCredentials({ root }: Credentials, placeholderAt: (pointer: string) => string | undefined): string {
  return `${JSON.stringify(
    mapStrings(root, (text, pointer) => placeholderAt(pointer) ?? text),
    null,
    2,
  )}\n`;
}

/** The new tokens of a refresh's answer, by pointer. An answer without one keeps the old. */
export function newTokens(answer: Json, refresh: FileRefresh): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  if (!isObject(answer)) return found;
  for (const [member, at] of Object.entries(refresh.tokens)) {
    const value = Object.hasOwn(answer, member) ? answer[member] : undefined;
    if (typeof value === "string" && value !== "") found.set(at, value);
  }
  return found;
}

/** The file with new tokens in it, as it is stored. `nowMs`: when the answer came. */
export function refreshedCredentials(
  text: string,
  definition: SecretFileDefinition,
  tokens: ReadonlyMap<string, string>,
  answer: Json,
  nowMs: number,
): string {
  let root = parse(text, definition);
  for (const [at, value] of tokens) root = withValueAt(root, at, value);
  const { expiresAt, refreshedAt } = definition.refresh ?? {};
  const seconds = isObject(answer) ? answer["expires_in"] : undefined;
  if (expiresAt !== undefined && typeof seconds === "number") root = withValueAt(root, expiresAt, nowMs + seconds * 1000);
  if (refreshedAt !== undefined) root = withValueAt(root, refreshedAt, new Date(nowMs).toISOString());
  return `${JSON.stringify(root, null, 2)}\n`;
}

/** ms that an access token must have left to be worth handing out instead of a new one */
const MIN_LEFT_MS = 60_000;

/**
 * What an endpoint would have answered a client whose tokens somebody else renewed: RFC 6749 §5.1, with placeholders. Undefined when
 * the file's access token has ended or is about to.
 */
export function renewedAnswer(
  { root, tokens }: Credentials,
  refresh: FileRefresh,
  placeholderAt: (pointer: string) => string | undefined,
  nowMs: number,
): Json | undefined {
  const given = Object.entries(refresh.tokens).flatMap(([member, at]): [string, string][] => {
    const placeholder = tokens.has(at) ? placeholderAt(at) : undefined;
    return placeholder === undefined ? [] : [[member, placeholder]];
  });
  const access = refresh.tokens["access_token"];
  const stated = refresh.expiresAt === undefined ? undefined : valueAt(root, refresh.expiresAt);
  const ends = typeof stated === "number" ? stated : access === undefined ? undefined : endOf(tokens.get(access) ?? "");
  if (given.length === 0 || (ends !== undefined && ends < nowMs + MIN_LEFT_MS)) return undefined;
  const scope = scopeOf(root, refresh);
  return {
    token_type: "Bearer",
    ...(ends === undefined ? {} : { expires_in: Math.floor((ends - nowMs) / 1000) }),
    ...(scope === undefined ? {} : { scope }),
    ...Object.fromEntries(given),
  };
}

/** What the login is, as its file says. */
export type LoginGrant = { readonly scope?: string; readonly clientIds: readonly string[]; readonly parameters: readonly string[] };

export function grantOf({ root, tokens }: Credentials, refresh: FileRefresh): LoginGrant {
  const scope = scopeOf(root, refresh);
  const own = refresh.clientId === undefined ? undefined : valueAt(root, refresh.clientId);
  const named = Object.values(refresh.tokens).flatMap((at) => clientsOf(tokens.get(at) ?? ""));
  return {
    ...(scope === undefined ? {} : { scope }),
    clientIds: [...(refresh.clientIds ?? []), ...(typeof own === "string" && own !== "" ? [own] : []), ...named],
    parameters: refresh.parameters ?? [],
  };
}

/** As one text (RFC 6749 §3.3). */
function scopeOf(root: Json, { scopes: at }: FileRefresh): string | undefined {
  const found = at === undefined ? undefined : valueAt(root, at);
  const scope = Array.isArray(found) ? found.filter((one) => typeof one === "string").join(" ") : found;
  return typeof scope === "string" && scope !== "" ? scope : undefined;
}

function parse(text: string, definition: SecretFileDefinition): Json {
  let root: Json;
  try {
    root = JSON.parse(text) as Json;
  } catch {
    // the parser's own message repeats what it read
    throw bad(definition, "is not JSON");
  }
  if (!isObject(root)) throw bad(definition, "is not a JSON object");
  return root;
}

function bad({ name, path }: SecretFileDefinition, what: string): AppError {
  return new AppError("VALIDATION", `the secret file ${name} (${path}) ${what}`, { hint: "log in again, or correct [[secret_files]]" });
}
