import { domainToASCII, domainToUnicode } from "node:url";
import { formatIpv6, parseIpv4, parseIpv6 } from "./ip.ts";

declare const canonical: unique symbol;

/** A host name or address in its one canonical spelling; only `parseHost` makes it. Policy and dialer take this, never a raw string. */
export type CanonicalHost = {
  readonly [canonical]: true;
  readonly kind: "name" | "ipv4" | "ipv6";
  /** lower-case ASCII, no trailing dot; IPv6 without brackets in its shortest form */
  readonly text: string;
};

/** Why a text is no host. `reason` continues the sentence "the host …" and never repeats the text, which may be hostile. */
export type HostError = { readonly kind: "invalid"; readonly reason: string };

/** No name of the DNS is longer; a Unicode spelling needs at most four bytes for each character of it. */
const MAX_TEXT = 1024;
const MAX_NAME = 253;
const MAX_LABEL = 63;

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/;

/**
 * Canonicalises a host once: lower-case, one trailing dot gone, IDNA to ASCII (UTS 46), addresses by a strict parser.
 *
 * What other parsers read differently is refused instead of guessed: NUL, control characters, white space, `%`, userinfo, empty
 * labels, leading or trailing hyphens, broken punycode, and every numeric spelling but four decimal numbers (`127.1`,
 * `0x7f.0.0.1`, `0177.0.0.1`, `2130706433`). An underscore may stand left of the last two labels only (RFC 2782 names, buckets).
 */
export function parseHost(text: string): CanonicalHost | HostError {
  if (text === "") return invalid("is empty");
  if (text.length > MAX_TEXT) return invalid(`is longer than ${MAX_NAME} characters`);
  if (text.startsWith("[") || text.endsWith("]")) {
    if (!text.startsWith("[") || !text.endsWith("]")) return invalid("has an unmatched bracket");
    return ipv6Host(text.slice(1, -1));
  }
  const bad = forbiddenCharacter(text);
  if (bad !== undefined) return invalid(bad);
  if (text.includes(":")) return ipv6Host(text);
  return nameOrIpv4(text);
}

/** `host`, `host:port`, `[v6]:port`: the authority of a URL or a Host header, without userinfo. Address literals of IPv6 need brackets. */
export function parseAuthority(
  text: string,
  defaultPort: number,
): { readonly kind: "authority"; readonly host: CanonicalHost; readonly port: number } | HostError {
  if (text.length > MAX_TEXT) return invalid(`is longer than ${MAX_NAME} characters`);
  let hostText = text;
  let port = defaultPort;
  const colon = text.startsWith("[") ? afterBracket(text) : text.indexOf(":");
  if (colon !== -1) {
    const parsed = parsePort(text.slice(colon + 1));
    if (parsed === undefined)
      return invalid(
        text.indexOf(":") !== text.lastIndexOf(":") && !text.startsWith("[")
          ? "is an IPv6 address without brackets"
          : "has a port that is not a number from 1 to 65535",
      );
    port = parsed;
    hostText = text.slice(0, colon);
  }
  if (hostText.includes(":") && !hostText.startsWith("[")) return invalid("is an IPv6 address without brackets");
  const host = parseHost(hostText);
  return host.kind === "invalid" ? host : { kind: "authority", host, port };
}

/** 1–65535 in decimal without leading zeros, else undefined. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

/** As it stands in a URL or a Host header: IPv6 in brackets, the port unless it is the scheme's own. */
export function formatAuthority(host: CanonicalHost, port: number, schemePort?: number): string {
  const text = host.kind === "ipv6" ? `[${host.text}]` : host.text;
  return port === schemePort ? text : `${text}:${port}`;
}

function afterBracket(text: string): number {
  const end = text.indexOf("]");
  if (end === -1 || end === text.length - 1) return -1;
  // anything but a colon after the bracket stays in the host part, where it is refused
  return text[end + 1] === ":" ? end + 1 : -1;
}

function nameOrIpv4(text: string): CanonicalHost | HostError {
  const withoutDot = text.endsWith(".") ? text.slice(0, -1) : text;
  const isAscii = /^[\x20-\x7e]*$/.test(withoutDot);
  const ascii = isAscii ? withoutDot.toLowerCase() : domainToASCII(withoutDot);
  if (ascii === "") return invalid(withoutDot === "" ? "is only a dot" : "is not a valid internationalised name");
  if (ascii.length > MAX_NAME) return invalid(`is longer than ${MAX_NAME} characters`);
  const labels = ascii.split(".");
  const last = labels.at(-1) ?? "";
  // WHATWG URL, §host parsing: such a host "ends in a number" and is an IPv4 address or an error, never a name
  if (/^(?:[0-9]+|0x[0-9a-f]*)$/.test(last)) {
    const address = isAscii && withoutDot === text ? parseIpv4(ascii) : undefined;
    return address === undefined ? invalid("is a number or address that is not written as four decimal numbers") : make("ipv4", ascii);
  }
  for (const [index, label] of labels.entries()) {
    const reason = labelError(label, labels.length - index <= 2);
    if (reason !== undefined) return invalid(reason);
  }
  if (labels.some((label) => label.startsWith("xn--")) && !isRoundTrip(ascii)) return invalid("has a label in broken punycode");
  return make("name", ascii);
}

function labelError(label: string, isRegistrable: boolean): string | undefined {
  if (label === "") return "has an empty label";
  if (label.length > MAX_LABEL) return `has a label longer than ${MAX_LABEL} characters`;
  if (!LABEL.test(label)) return "has a label with other characters than letters, digits and inner hyphens";
  if (isRegistrable && label.includes("_")) return "has an underscore in one of its last two labels";
  return undefined;
}

/** Node decodes a broken `xn--` label to itself, so every such label has to change and to come back the same. */
function isRoundTrip(ascii: string): boolean {
  const unicode = domainToUnicode(ascii);
  return unicode !== "" && !unicode.split(".").some((label) => label.startsWith("xn--")) && domainToASCII(unicode) === ascii;
}

function ipv6Host(text: string): CanonicalHost | HostError {
  if (text.includes("%")) return invalid("is an IPv6 address with a zone");
  const groups = parseIpv6(text);
  return groups === undefined ? invalid("is not a valid IPv6 address") : make("ipv6", formatIpv6(groups));
}

function forbiddenCharacter(text: string): string | undefined {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code === 0) return "contains a NUL";
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return "contains a control character";
    if (code === 0x20 || /\s/u.test(character)) return "contains white space";
    if (code >= 0xd800 && code <= 0xdfff) return "contains half a surrogate pair";
    if (character === "%") return "contains a percent sign";
    if (character === "@") return "contains user information";
    if (code < 0x80 && !/[A-Za-z0-9._:-]/.test(character)) return "contains a character that no host name has";
  }
  return undefined;
}

function make(kind: CanonicalHost["kind"], text: string): CanonicalHost {
  return Object.freeze({ kind, text }) as CanonicalHost;
}

function invalid(reason: string): HostError {
  return { kind: "invalid", reason };
}
