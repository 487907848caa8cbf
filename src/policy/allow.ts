import { AppError } from "../base/error.ts";
import { parsePort } from "./host.ts";
import { formatHostPattern, parseHostPattern } from "./host-pattern.ts";
import type { RuleInput } from "./policy.ts";

/**
 * Reads what `--allow` and `allow[]` take: `host`, `host:port`, `*.example.com`, `1.2.3.4:8443`, `[2001:db8::1]:443`.
 *
 * @throws VALIDATION with the text that was given and what is wrong with it
 */
export function parseAllow(text: string, from: { readonly id: string; readonly origin: RuleInput["origin"] }): RuleInput {
  const { hostText, portText } = split(text);
  const port = portText === undefined ? undefined : parsePort(portText);
  if (portText !== undefined && port === undefined && !text.includes("/"))
    throw bad(from.id, text, "the port is not a number from 1 to 65535");
  if (text.includes("/")) throw bad(from.id, text, "this is a URL or a path", "give the host only, as in --allow api.example.com");
  const pattern = parseHostPattern(hostText);
  if (pattern.kind === "invalid") {
    const hint = text === "*" ? "use --profile permissive to allow every public host" : undefined;
    throw bad(from.id, text, `the host ${pattern.reason}`, hint);
  }
  return { ...from, host: formatHostPattern(pattern), effect: "allow", ...(port === undefined ? {} : { ports: [port] }) };
}

function split(text: string): { readonly hostText: string; readonly portText: string | undefined } {
  const bracketed = /^(\[[^\]]*\])(?::(.*))?$/s.exec(text);
  if (bracketed !== null) return { hostText: bracketed[1] ?? "", portText: bracketed[2] };
  const colon = text.indexOf(":");
  // two colons without brackets: an IPv6 address, which then has no port
  if (colon === -1 || text.indexOf(":", colon + 1) !== -1) return { hostText: text, portText: undefined };
  return { hostText: text.slice(0, colon), portText: text.slice(colon + 1) };
}

function bad(id: string, text: string, message: string, hint?: string): AppError {
  return new AppError("VALIDATION", `${id} ${JSON.stringify(text.slice(0, 260))}: ${message}`, hint === undefined ? {} : { hint });
}
