import { AppError } from "../base/error.ts";
import { Secret } from "../base/secret.ts";
import type { AuthHeader, SecretScheme } from "../schema/secret-scheme.ts";
import { defaultAuthHeader, headerError, otherAuthHeaders, SIGNED } from "./auth-header.ts";
import { awsRole } from "./sigv4.ts";

/** What a binding may be narrowed or widened by, beside the header. */
export type BindingScope = {
  /** upper-case; absent: every method */
  readonly methods?: readonly string[];
  /** path patterns as in rules; absent: what the host's default scope says, else every path */
  readonly paths?: readonly string[];
  /** parameter of the URL's query that the value may stand in, too */
  readonly query?: string;
};

/** A secret, the host it is for and the header it goes into. */
export type Binding = AuthHeader &
  BindingScope & {
    /** further headers that clients of this host use for it; only where nobody named one */
    readonly others?: readonly AuthHeader[];
    /** variable inside that shows the placeholder */
    readonly name: string;
    /** lower-case host pattern; policy checks it strictly */
    readonly host: string;
  };

/** `value` only from the API, where a body carries it; it is never written into state. */
export type ParsedBinding = { readonly binding: Binding; readonly value: Secret | undefined };

export type BindingSource = "cli" | "api";

/**
 * Reads `KEY:host`, `KEY:host:header` and, from the API only, `KEY=value:host[:header]`. A value may hold colons: host and header are
 * read from the right, and what has a dot or brackets is a host, never a header.
 *
 * @throws VALIDATION; the text is never repeated, since it may hold a value
 */
export function parseBinding(text: string, source: BindingSource): ParsedBinding {
  const name = /^[A-Za-z_][A-Za-z0-9_]*/.exec(text)?.[0];
  const separator = name === undefined ? undefined : text[name.length];
  if (name === undefined || (separator !== ":" && separator !== "=")) {
    throw bad(
      "a secret",
      "does not begin with the name of a variable",
      source === "cli" ? "write --secret NAME:HOST" : "write KEY:host or KEY=value:host",
    );
  }
  if (separator === "=" && source === "cli") {
    throw new AppError("VALIDATION", `the value of ${name} must not stand on the command line, where other processes can read it`, {
      hint: `agentkernel secret set ${name}, then --secret ${name}:HOST`,
    });
  }
  const { value, host, header } = split(text.slice(name.length + 1), separator === "=");
  if (separator === "=" && (value === undefined || value === "")) throw bad(name, "has no value or no host", "write KEY=value:host");
  const binding = makeBinding({ name, host, ...(header === undefined ? {} : { header }) });
  return { binding, value: value === undefined ? undefined : new Secret(value) };
}

export type BindingParts = BindingScope & {
  readonly name: string;
  readonly host: string;
  readonly header?: string;
  readonly scheme?: SecretScheme;
};

/** From parts, as `[secrets]` of the configuration and the API's full form give them. @throws VALIDATION */
export function makeBinding(parts: BindingParts): Binding {
  const binding = { ...placed(parts), ...scopeOf(parts) };
  if (binding.scheme === "sigv4" && binding.query !== undefined)
    throw bad(
      parts.name,
      "signs requests, and goes into no parameter of a query",
      "leave query out: presigned URLs are signed again as well",
    );
  return binding;
}

/** Path patterns are held against the policy's own reader by whoever builds the gateway's side. */
function scopeOf({ name, methods, paths, query }: BindingParts): BindingScope {
  for (const method of methods ?? [])
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(method))
      throw bad(name, "names a method that is none", 'write methods = ["GET", "POST"]');
  for (const path of paths ?? [])
    if (!/^\/[^?#\s\\%]{0,1023}$/.test(path)) throw bad(name, "names a path that is none", 'write paths = ["/v1/chat/**"]');
  if (query !== undefined && !/^[A-Za-z0-9_.~-]{1,64}$/.test(query))
    throw bad(name, "names a query parameter that is none", 'write query = "key"');
  return {
    ...(methods === undefined ? {} : { methods: methods.map((method) => method.toUpperCase()) }),
    ...(paths === undefined ? {} : { paths }),
    ...(query === undefined ? {} : { query }),
  };
}

function placed(parts: BindingParts): Binding {
  const { name } = parts;
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name))
    throw bad("a secret", "does not have the name of a variable", "letters, digits and underscores");
  const host = parts.host.toLowerCase().replace(/\.$/, "");
  if (!/^(?:\*\.)?[a-z0-9._-]{1,253}$|^\[[0-9a-f:.]+\]$/.test(host)) {
    throw bad(name, "has no host it could be bound to", `write ${name}:api.example.com, without https://, port or path`);
  }
  if (parts.scheme === "sigv4" && (awsRole(name) === undefined || parts.header !== undefined))
    throw bad(
      name,
      parts.header === undefined ? "is no part of an AWS credential" : "signs requests, and goes into no header",
      "bind AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, each without a header",
    );
  const byHost = parts.scheme === "sigv4" ? SIGNED : defaultAuthHeader(name, host);
  if (parts.header === undefined) {
    const others = parts.scheme === undefined ? otherAuthHeaders(byHost) : [];
    return { name, host, header: byHost.header, scheme: parts.scheme ?? byHost.scheme, ...(others.length === 0 ? {} : { others }) };
  }
  const wrong = headerError(parts.header);
  if (wrong !== undefined) throw bad(name, `is bound to a header that ${wrong}`, `write ${name}:${host}:authorization`);
  const header = parts.header.toLowerCase();
  return { name, host, header, scheme: parts.scheme ?? (header === "authorization" ? "bearer" : "raw") };
}

/** As it is shown: everything but the value. `parseBinding` reads a short one back to the same binding; a full one shows its scope behind it. */
export function formatBinding(binding: Binding): string {
  const byHost = defaultAuthHeader(binding.name, binding.host);
  const short = byHost.header === binding.header ? `${binding.name}:${binding.host}` : `${binding.name}:${binding.host}:${binding.header}`;
  const { methods, paths, query } = binding;
  const scope = [
    ...(methods === undefined ? [] : [`methods ${methods.join(",") || "none"}`]),
    ...(paths === undefined ? [] : [`paths ${paths.join(",") || "none"}`]),
    ...(query === undefined ? [] : [`query ${query}`]),
  ];
  return scope.length === 0 ? short : `${short} (${scope.join("; ")})`;
}

type Parts = { readonly value: string | undefined; readonly host: string; readonly header: string | undefined };

function split(rest: string, hasValue: boolean): Parts {
  const { head, last } = cutLast(rest);
  const isHost = /[.[\]]/.test(last) || head === undefined || (hasValue && !/(?:^|:)[^:]*[.\]][^:]*$/.test(head));
  if (isHost)
    return hasValue
      ? { value: head, host: last, header: undefined }
      : { value: undefined, host: head === undefined ? last : `${head}:${last}`, header: undefined };
  if (!hasValue) return { value: undefined, host: head, header: last };
  const before = cutLast(head);
  // `KEY=value:host`: nothing is left of the host but the value
  return before.head === undefined
    ? { value: head, host: last, header: undefined }
    : { value: before.head, host: before.last, header: last };
}

/** At the last colon outside of brackets. */
function cutLast(text: string): { readonly head: string | undefined; readonly last: string } {
  const bracketed = text.endsWith("]") ? text.lastIndexOf("[") : -1;
  const colon = bracketed === -1 ? text.lastIndexOf(":") : text.lastIndexOf(":", bracketed);
  return colon === -1 ? { head: undefined, last: text } : { head: text.slice(0, colon), last: text.slice(colon + 1) };
}

function bad(name: string, message: string, hint: string): AppError {
  return new AppError("VALIDATION", `${name} ${message}`, { hint });
}
