import { AppError } from "../base/error.ts";
import type { CanonicalHost } from "./host.ts";
import { matchesHost, parseHostPattern, patternsOverlap, type HostPattern } from "./host-pattern.ts";
import { matchesPath, parsePathPattern, type NormalPath, type PathPattern } from "./path.ts";
import type { RuleInput } from "./policy.ts";

/** Ports of a rule that opens a host and names none. */
export const DEFAULT_PORTS: readonly number[] = [80, 443];

/** A rule that was checked and is ready to match. */
export type Rule = {
  readonly id: string;
  readonly effect: RuleInput["effect"];
  readonly origin: RuleInput["origin"];
  readonly isForAll: boolean;
  readonly host: HostPattern;
  /** undefined: every port; only of a denial */
  readonly ports: readonly number[] | undefined;
  /** upper-case; undefined: every method */
  readonly methods: readonly string[] | undefined;
  /** undefined: every path */
  readonly paths: readonly PathPattern[] | undefined;
};

/** RFC 9110 §5.6.2 token */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/;

/** @throws CONFIG_INVALID for an operator's rule, VALIDATION for anybody else's; the message names the rule and what is wrong */
export function compileRule(input: RuleInput): Rule {
  const host = parseHostPattern(input.host);
  if (host.kind === "invalid") throw ruleError(input, `the host ${host.reason}`);
  // a rule opens no more than it says, and closes no less
  const ports = input.ports ?? (input.effect === "deny" ? undefined : DEFAULT_PORTS);
  for (const port of ports ?? []) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw ruleError(input, `${port} is not a port from 1 to 65535`);
    if (port === 53 && input.effect !== "deny") throw ruleError(input, "port 53 cannot be opened: names are answered inside the sandbox");
    if (port === 22 && input.effect !== "deny")
      throw ruleError(input, "SSH cannot be inspected and is not passed on", "use https instead, for git as well");
  }
  for (const method of input.methods ?? []) if (!METHOD.test(method)) throw ruleError(input, "a method is not an HTTP token");
  const paths = input.paths?.map((source) => {
    const pattern = parsePathPattern(source);
    if ("kind" in pattern) throw ruleError(input, `a path ${pattern.reason}`);
    return pattern;
  });
  if (input.effect === "tunnel") {
    if (input.origin !== "operator") throw ruleError(input, "only the operator's configuration may open a tunnel");
    if (input.methods !== undefined || paths !== undefined) {
      throw ruleError(input, "methods and paths of a tunnel cannot be seen", 'leave them out, or use effect = "allow"');
    }
  }
  const methods = input.methods?.map((method) => method.toUpperCase());
  return { id: input.id, effect: input.effect, origin: input.origin, isForAll: input.isForAll === true, host, ports, methods, paths };
}

/** A rule that looks into requests cannot hold for a host whose TLS stays closed. @throws CONFIG_INVALID */
export function refuseRulesThatTunnelsDefeat(rules: readonly Rule[]): void {
  for (const tunnel of rules.filter((rule) => rule.effect === "tunnel")) {
    const blind = rules.find((rule) => looksInside(rule) && patternsOverlap(rule.host, tunnel.host) && sharePort(rule, tunnel));
    if (blind !== undefined) {
      throw new AppError("CONFIG_INVALID", `${blind.id} looks at methods or paths of a host that ${tunnel.id} passes unopened`, {
        hint: `remove methods and paths from ${blind.id}, or the tunnel`,
      });
    }
  }
}

export function looksInside(rule: Rule): boolean {
  return rule.methods !== undefined || rule.paths !== undefined;
}

export function matchesOrigin(rule: Rule, host: CanonicalHost, port: number): boolean {
  return (rule.ports?.includes(port) ?? true) && matchesHost(rule.host, host);
}

/** Is there a port that both are for? */
export function sharePort(a: Rule, b: Rule): boolean {
  if (a.ports === undefined) return b.ports === undefined || b.ports.length > 0;
  return a.ports.some((port) => b.ports?.includes(port) ?? true);
}

export type RequestLine = { readonly method: string | undefined; readonly path: NormalPath | undefined };

/**
 * Does the rule match what is known of the request? While only the connection is known (`method`, `path` undefined) an allow rule
 * matches when some request could, and a deny rule only when every request would. An ambiguous path is in no allow rule's paths and
 * in every deny rule's.
 */
export function matchesRequest(rule: Rule, line: RequestLine): boolean {
  const isDeny = rule.effect === "deny";
  if (rule.methods !== undefined) {
    if (rule.methods.length === 0) return false;
    if (line.method === undefined ? isDeny : !rule.methods.includes(line.method.toUpperCase())) return false;
  }
  if (rule.paths === undefined) return true;
  if (rule.paths.length === 0) return false;
  if (line.path === undefined) return !isDeny;
  if (line.path.kind !== "path") return isDeny;
  const { path } = line.path;
  return rule.paths.some((pattern) => matchesPath(pattern, path));
}

function ruleError(input: RuleInput, message: string, hint?: string): AppError {
  const code = input.origin === "operator" ? "CONFIG_INVALID" : "VALIDATION";
  // what a caller or an operator wrote is quoted as JSON, so that it stays one line
  return new AppError(code, `${input.id} (${JSON.stringify(input.host.slice(0, 260))}): ${message}`, hint === undefined ? {} : { hint });
}
