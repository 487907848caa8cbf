import type { CanonicalHost } from "./host.ts";
import { matchesOrigin, type Rule } from "./rule.ts";

/** Finds the rules that name a host without walking them all: by its text, and by each of its suffixes for wildcards. */
export class RuleIndex {
  readonly #exact = new Map<string, number[]>();
  readonly #below = new Map<string, number[]>();
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
    for (const [at, rule] of rules.entries()) {
      if (rule.host.kind === "exact") push(this.#exact, rule.host.host.text, at);
      else push(this.#below, rule.host.suffix.text, at);
    }
  }

  /** Rules that name this host and port, in the order they were given. */
  find(host: CanonicalHost, port: number): readonly Rule[] {
    return this.names(host).filter((rule) => matchesOrigin(rule, host, port));
  }

  /** Rules that name this host, on whatever port, in the order they were given. */
  names(host: CanonicalHost): readonly Rule[] {
    const found = [...(this.#exact.get(host.text) ?? [])];
    if (host.kind === "name") {
      for (let dot = host.text.indexOf("."); dot !== -1; dot = host.text.indexOf(".", dot + 1)) {
        found.push(...(this.#below.get(host.text.slice(dot + 1)) ?? []));
      }
    }
    return found.sort((a, b) => a - b).flatMap((at) => this.#rules[at] ?? []);
  }
}

function push(map: Map<string, number[]>, key: string, at: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [at]);
  else list.push(at);
}
