import type { HeaderList } from "./header-list.ts";

/** What a request's head says about itself, and the headers that travel on. */
export type RequestHead = {
  /** end-to-end headers without Host and framing */
  readonly headers: HeaderList;
  readonly host: string | undefined;
  readonly contentLength: number | null;
  readonly chunked: boolean;
  readonly expectsContinue: boolean;
  /** protocol of an `Upgrade` that `Connection` names too, lower-case */
  readonly upgrade: string | null;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
};

export type HeadFault = { readonly status: 400 | 417; readonly reason: string };

type Kind =
  | "hop"
  | "host"
  | "content-length"
  | "transfer-encoding"
  | "connection"
  | "expect"
  | "upgrade"
  | "te"
  | "content-type"
  | "content-encoding";

const KINDS: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ["keep-alive", "hop"],
  ["http2-settings", "hop"],
  // request trailers are not forwarded, so neither is their announcement
  ["trailer", "hop"],
  ["host", "host"],
  ["content-length", "content-length"],
  ["transfer-encoding", "transfer-encoding"],
  ["connection", "connection"],
  ["expect", "expect"],
  ["upgrade", "upgrade"],
  ["te", "te"],
  ["content-type", "content-type"],
  ["content-encoding", "content-encoding"],
]);

// naming these in Connection would let a client take framing or identity away between us and the origin
const NEVER_HOP = new Set(["host", "content-length", "transfer-encoding", "content-type", "content-encoding"]);

/**
 * Splits a request's raw headers into what the gateway acts on and what goes on. Framing is regenerated, hop-by-hop headers, those
 * named in `Connection` and every `Proxy-*` are dropped (RFC 9110 §7.6.1).
 */
export function readRequestHead(raw: HeaderList, version: "1.0" | "1.1" | "2"): RequestHead | HeadFault {
  const headers: string[] = [];
  let host: string | undefined;
  let contentLength: number | null = null;
  let chunked = false;
  let expectsContinue = false;
  let upgrade: string | null = null;
  let connection: string | undefined;
  let contentType: string | undefined;
  let contentEncoding: string | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    const lower = name.toLowerCase();
    const kind = KINDS.get(lower);
    if (kind === undefined) {
      if (!lower.startsWith("proxy-")) headers.push(name, value);
      continue;
    }
    switch (kind) {
      case "host":
        if (host !== undefined) return fault("two Host headers");
        host = value;
        break;
      case "content-length": {
        if (contentLength !== null) return fault("two Content-Length headers");
        if (!/^\d{1,15}$/.test(value)) return fault("Content-Length is not a number");
        contentLength = Number(value);
        break;
      }
      case "transfer-encoding":
        // exactly `chunked`, once: every other spelling is read differently by somebody
        if (chunked || value.toLowerCase() !== "chunked") return fault("Transfer-Encoding is not exactly `chunked`");
        if (version !== "1.1") return fault(`Transfer-Encoding does not exist in HTTP/${version}`);
        chunked = true;
        break;
      case "connection":
        connection = connection === undefined ? value : `${connection},${value}`;
        break;
      case "expect":
        if (value.toLowerCase() !== "100-continue") return { status: 417, reason: "only `Expect: 100-continue` is known" };
        expectsContinue = true;
        break;
      case "upgrade":
        upgrade = value.toLowerCase();
        break;
      case "te":
        if (value.toLowerCase() === "trailers") headers.push(name, value);
        break;
      case "content-type":
        contentType ??= value;
        headers.push(name, value);
        break;
      case "content-encoding":
        contentEncoding = contentEncoding === undefined ? value : `${contentEncoding}, ${value}`;
        headers.push(name, value);
        break;
      case "hop":
        break;
      default:
        kind satisfies never;
    }
  }
  if (chunked && contentLength !== null) return fault("Content-Length and Transfer-Encoding together");
  let kept: HeaderList = headers;
  if (connection !== undefined) {
    const named = connectionOptions(connection);
    if (named === undefined) return fault("the Connection header is malformed");
    if (!named.has("upgrade")) upgrade = null;
    for (const option of named) if (NEVER_HOP.has(option)) return fault(`Connection must not name ${option}`);
    kept = withoutNamed(headers, named);
  } else {
    upgrade = null;
  }
  return { headers: kept, host, contentLength, chunked, expectsContinue, upgrade, contentType, contentEncoding };
}

export type ResponseHead = { readonly headers: HeaderList; readonly contentLength: number | null };

/** A response's headers as they travel on to the sandbox. */
export function readResponseHead(raw: HeaderList): ResponseHead {
  const headers: string[] = [];
  let contentLength: number | null = null;
  let connection: string | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    const lower = name.toLowerCase();
    switch (lower) {
      case "connection":
        connection = connection === undefined ? value : `${connection},${value}`;
        break;
      case "transfer-encoding":
      case "keep-alive":
      case "upgrade":
      case "te":
      case "proxy-authenticate":
      case "proxy-authentication-info":
      case "proxy-connection":
        break;
      case "content-length":
        contentLength = Number(value);
        headers.push(name, value);
        break;
      default:
        headers.push(name, value);
    }
  }
  const named = connection === undefined || /^(?:keep-alive|close)$/i.test(connection) ? undefined : connectionOptions(connection);
  return { headers: named === undefined ? headers : withoutNamed(headers, named), contentLength };
}

// fields that must not come after the body (RFC 9110 §6.5.1): framing, routing, authentication, and what changes how it is read
const NO_TRAILER =
  /^(?:content-(?:encoding|length|type|range)|transfer-encoding|trailer|te|host|connection|keep-alive|upgrade|authorization|set-cookie|www-authenticate|age|cache-control|expires|date|location|retry-after|vary|warning|proxy-.*)$/i;

/** Response trailers that may travel on. */
export function filterTrailers(raw: HeaderList): HeaderList {
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (!NO_TRAILER.test(name)) kept.push(name, raw[i + 1] ?? "");
  }
  return kept;
}

/** First value of a header in a flat list, by lower-case name. */
export function headerOf(headers: HeaderList, lower: string): string | undefined {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i];
    if (name !== undefined && name.length === lower.length && name.toLowerCase() === lower) return headers[i + 1];
  }
  return undefined;
}

/** The list without a header. */
export function withoutHeader(headers: HeaderList, lower: string): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if (name.length !== lower.length || name.toLowerCase() !== lower) kept.push(name, headers[i + 1] ?? "");
  }
  return kept;
}

function connectionOptions(value: string): ReadonlySet<string> | undefined {
  const options = new Set<string>();
  for (const part of value.split(",")) {
    const option = part.trim().toLowerCase();
    if (option === "") continue;
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(option)) return undefined;
    options.add(option);
  }
  return options;
}

function withoutNamed(headers: HeaderList, named: ReadonlySet<string>): HeaderList {
  let found = false;
  for (let i = 0; i < headers.length; i += 2) if (named.has((headers[i] ?? "").toLowerCase())) found = true;
  if (!found) return headers;
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if (!named.has(name.toLowerCase())) kept.push(name, headers[i + 1] ?? "");
  }
  return kept;
}

function fault(reason: string): HeadFault {
  return { status: 400, reason };
}
