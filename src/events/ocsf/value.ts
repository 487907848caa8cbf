import { isIP } from "node:net";
import type { Attributes } from "./ocsf-event.ts";

/** Older releases hold hostname_t against this pattern; the label's and the name's lengths are DNS's. */
const HOSTNAME = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
/** What email_t of every release accepts. */
const EMAIL = /^[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9-]{1,63}\.[A-Za-z0-9.-]{1,190}$/;
/** max_len of ip_t */
const MAX_IP = 40;

/** Without what is undefined or null: OCSF has absent attributes, not null ones. */
export function compact(attributes: Readonly<Record<string, unknown>>): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined && value !== null));
}

/** {@link compact}, and undefined when nothing is left. */
export function compactOrNone(attributes: Readonly<Record<string, unknown>>): Attributes | undefined {
  const left = compact(attributes);
  return Object.keys(left).length === 0 ? undefined : left;
}

/** `long_t` and `integer_t` want whole numbers; ours have fractions of a ms. */
export function whole(value: number | null | undefined): number | undefined {
  if (value === undefined || value === null || Number.isNaN(value)) return undefined;
  return Math.min(Math.max(Math.round(value), Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
}

export function portOf(value: number | undefined): number | undefined {
  return value !== undefined && Number.isInteger(value) && value >= 0 && value <= 65_535 ? value : undefined;
}

export function ipOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  return isIP(bare) !== 0 && bare.length <= MAX_IP && !bare.includes("%") ? bare : undefined;
}

export function hostnameOf(text: string | undefined): string | undefined {
  return text !== undefined && text.length <= 253 && HOSTNAME.test(text) ? text : undefined;
}

export function emailOf(text: string | undefined): string | undefined {
  return text !== undefined && EMAIL.test(text) ? text : undefined;
}

/** The attribute of an endpoint or device that a host's text belongs in: an address, a DNS name, or (`_srv._tcp`, "") only a name. */
export function hostAttributes(text: string): Attributes {
  const ip = ipOf(text);
  if (ip !== undefined) return { ip };
  const hostname = hostnameOf(text);
  return hostname === undefined ? { name: text } : { hostname };
}

/** `k=v`, sorted, as OCSF's `labels`. */
export function labelsOf(labels: Readonly<Record<string, string>> | undefined): readonly string[] | undefined {
  const texts = Object.entries(labels ?? {}).map(([name, value]) => `${name}=${value}`);
  return texts.length === 0 ? undefined : texts.toSorted();
}

/** ms since 1970 of an event's RFC 3339 time; undefined for what is none. */
export function timeOf(timestamp: string): number | undefined {
  const ms = Date.parse(timestamp);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** A command line as a shell would read it back. */
export function commandLine(argv: readonly string[]): string {
  return argv.map((argument) => (/^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`)).join(" ");
}
