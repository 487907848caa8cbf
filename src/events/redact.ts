/** What stands where a secret stood. */
export const REDACTED = "[redacted]";

/** Longer arguments are cut first, so that no pattern works on megabytes. */
const MAX_ARGUMENT = 8192;
const MAX_ARGUMENTS = 256;
/** A shorter known secret would blank out ordinary words. */
const MIN_KNOWN_SECRET = 6;

const SECRET_WORDS = new Set([
  "token",
  "secret",
  "password",
  "passwd",
  "passphrase",
  "pwd",
  "pass",
  "apikey",
  "credential",
  "credentials",
  "bearer",
  "auth",
  "authorization",
  "cookie",
  "jwt",
  "pat",
]);
/** Two words that are a secret together. */
const SECRET_PAIRS = new Set([
  "api key",
  "access key",
  "private key",
  "secret key",
  "signing key",
  "encryption key",
  "account key",
  "session key",
  "auth key",
  "shared key",
  "service key",
  "deploy key",
  "license key",
  "master key",
]);
/** What only speaks of a secret: `--token-file`, `--auth-type`, `MAX_TOKEN_COUNT`. */
const HARMLESS_WORDS = new Set([
  "file",
  "path",
  "dir",
  "url",
  "uri",
  "endpoint",
  "type",
  "mode",
  "method",
  "name",
  "id",
  "limit",
  "count",
  "max",
  "min",
  "length",
  "size",
  "ttl",
  "expiry",
  "header",
  "store",
  "helper",
  "policy",
]);

/** Query parameters that carry credentials (hooks.md 8). */
const SECRET_PARAMETER =
  /([?&;](?:key|api[_-]?key|access[_-]?token|token|auth|authorization|sig|signature|secret|client[_-]?secret|password|passwd|code|x-amz-[a-z-]{1,40}|x-goog-[a-z-]{1,40})=)[^&#\s"'`;]+/gi;
const USERINFO = /([a-z][a-z0-9+.-]{1,20}:\/\/)[^/?#\s"'`@]{1,512}@/gi;
const HEADER =
  /\b((?:proxy-)?authorization|(?:x-)?api-key|x-goog-api-key|x-auth-token|x-amz-security-token|private-token|job-token|x-vault-token|set-cookie|cookie)(["']?\s{0,4}:\s{0,4}["']?)((?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)\s{1,4})?[^"'`\r\n]+/gi;
/** what stands between a header's name and its secret, already replaced */
const SCHEME = /^(?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)$/i;
const ASSIGNMENT =
  /\b([A-Za-z_][A-Za-z0-9_.-]{0,80})(\\{0,3}["']?\s{0,2}[=:]\s{0,2})("[^"]*"|'[^']*'|\\{1,3}"[^"\\]*\\{1,3}"|[^\s"'`;&|)}<>,]+)/g;
/** a quoted value, JSON inside of JSON included: its marks and what they hold */
const QUOTED = /^(\\*["'])([\s\S]*?)(\\*["'])$/;
const FLAG_IN_TEXT = /(^|\s)(--?[A-Za-z][A-Za-z0-9_-]{0,60})(\s+)("[^"]*"|'[^']*'|[^\s"'`;&|<>-][^\s"'`;&|<>]*)/g;
const PRIVATE_KEY = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|$)/g;

/** Values that say by their shape that they are keys, whoever they belong to. */
const KEY_SHAPES = [
  /\bsk-[A-Za-z0-9_-]{16,}/g, // OpenAI, Anthropic, DeepSeek, OpenRouter
  /\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})/g,
  /\bglpat-[A-Za-z0-9_-]{16,}/g,
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\bAIza[A-Za-z0-9_-]{30,}/g,
  /\bya29\.[A-Za-z0-9_-]{20,}/g,
  /\b(?:hf|gsk|npm|dop_v1|sgp|pypi|xai|r8|pk_live|sk_live|rk_live|sk_test|whsec)[_-][A-Za-z0-9_+/=-]{16,}/g,
  /\beyJ[A-Za-z0-9_-]{8,2048}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g, // JSON Web Token
] as const;

/**
 * A command line as it may be recorded: values of secret-looking flags, assignments, headers, URLs and key shapes are replaced,
 * and every literal of `knownSecrets` wherever it stands. Recognition is by name and shape, so a secret that looks like a word
 * and that nobody named stays.
 */
export function redactArgv(argv: readonly string[], knownSecrets: readonly string[] = []): string[] {
  const known = knownSecrets.filter((secret) => secret.length >= MIN_KNOWN_SECRET).sort((a, b) => b.length - a.length);
  const out: string[] = [];
  let isValue = false;
  for (const [index, argument] of argv.entries()) {
    if (index >= MAX_ARGUMENTS) {
      out.push(`…[+${argv.length - index} arguments]`);
      break;
    }
    if (isValue && !argument.startsWith("--")) {
      isValue = false;
      out.push(redactHidden(argument));
      continue;
    }
    isValue = isSecretFlag(argument) || ((argument === "-u" || argument === "--user") && isUserPassword(argv[index + 1]));
    out.push(redactText(argument, known));
  }
  return out;
}

/** A URL (or any text with URLs in it) without user information and without the values of credential parameters. */
export function redactUrl(url: string): string {
  return url.replace(USERINFO, `$1${REDACTED}@`).replace(SECRET_PARAMETER, `$1${REDACTED}`);
}

/** One piece of free text, such as a script given to `sh -c`. */
export function redactText(text: string, knownSecrets: readonly string[] = []): string {
  let out = text;
  for (const secret of knownSecrets) if (secret.length >= MIN_KNOWN_SECRET) out = out.replaceAll(secret, REDACTED);
  if (out.length > MAX_ARGUMENT) out = `${out.slice(0, MAX_ARGUMENT)}…[+${out.length - MAX_ARGUMENT}]`;
  out = redactUrl(out.replace(PRIVATE_KEY, REDACTED));
  out = out.replace(HEADER, (_, name: string, colon: string, scheme: string | undefined) => `${name}${colon}${scheme ?? ""}${REDACTED}`);
  out = redactAssignments(out);
  out = out.replace(FLAG_IN_TEXT, (all, before: string, flag: string, gap: string, value: string) =>
    isSecretFlag(flag) && !value.includes(REDACTED) ? `${before}${flag}${gap}${REDACTED}` : all,
  );
  for (const shape of KEY_SHAPES) out = out.replace(shape, REDACTED);
  return out;
}

/** Values of names that are secrets'; what has another name may hold assignments itself, to a depth that hostile text cannot choose. */
function redactAssignments(text: string, depth = 4): string {
  return text.replace(ASSIGNMENT, (all, name: string, sign: string, value: string) => {
    const [, open = "", inner = value, close = ""] = QUOTED.exec(value) ?? [];
    if (!isSecretName(name)) return depth === 0 ? all : `${name}${sign}${open}${redactAssignments(inner, depth - 1)}${close}`;
    return value.includes(REDACTED) || SCHEME.test(value) ? all : `${name}${sign}${open}${REDACTED}${close}`;
  });
}

/** A body's text, piece by piece: no pattern works on more than an argument's length, whatever a sandbox writes. */
export function maskBody(text: string): string {
  let out = "";
  for (let at = 0; at < text.length; ) {
    const end = at + MAX_ARGUMENT >= text.length ? text.length : pieceEnd(text, at);
    out += redactText(text.slice(at, end));
    at = end;
  }
  return out;
}

/** Where a piece ends that begins at `at`: behind something that stands in no secret, or where it must. */
function pieceEnd(text: string, at: number): number {
  const last = at + MAX_ARGUMENT;
  for (let end = last; end > at + MAX_ARGUMENT / 2; end -= 1) if (/[\s,&;]/.test(text.charAt(end - 1))) return end;
  return /[\ud800-\udbff]/.test(text.charAt(last - 1)) ? last - 1 : last;
}

/** `--token`, `--api-key`: its value is the next argument. */
function isSecretFlag(argument: string): boolean {
  return /^--?[A-Za-z][A-Za-z0-9_-]{1,60}$/.test(argument) && isSecretName(argument);
}

/** curl's and others' `-u name:password`; a name alone asks for the password. */
function isUserPassword(next: string | undefined): boolean {
  // two numbers are a uid and a gid
  return next !== undefined && /^[^:/\s]+:[^/]/.test(next) && !/^\d+:\d+$/.test(next);
}

/** The name of a user stays, everything else of a hidden value goes. */
function redactHidden(argument: string): string {
  const user = /^([^:/\s]{1,64}):/.exec(argument)?.[1];
  return user === undefined ? REDACTED : `${user}:${REDACTED}`;
}

/** Whether a variable, flag or key names a secret: OPENAI_API_KEY, --accessToken, db.password. */
function isSecretName(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== "");
  const last = words.at(-1) ?? "";
  if (HARMLESS_WORDS.has(last) || words.some((word) => word === "max" || word === "min")) return false;
  if (
    words.some(
      (word) =>
        SECRET_WORDS.has(word) || word.endsWith("token") || word.endsWith("password") || word.endsWith("secret") || word.endsWith("apikey"),
    )
  )
    return true;
  return (
    words.some((word, index) => SECRET_PAIRS.has(`${word} ${words[index + 1] ?? ""}`)) ||
    (last === "key" && words.length > 1 && /^[A-Z0-9_]+$/.test(name))
  );
}
