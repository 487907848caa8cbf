import { AppError } from "../../base/error.ts";
import { checkSecretValue } from "../value.ts";
import type { FileRefresh, SecretFileDefinition } from "./definition.ts";
import { isObject, type Json, mapStrings, valueAt, withValueAt } from "./json-pointer.ts";
import { looksLikeToken } from "./mask.ts";

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
