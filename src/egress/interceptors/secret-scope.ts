import { matchesHost, parseHostPattern, type HostPattern } from "../../policy/host-pattern.ts";
import type { CanonicalHost } from "../../policy/host.ts";
import { matchesPath, normalisePath, parsePathPattern, type PathPattern } from "../../policy/path.ts";
import { defaultScope, type Scope } from "../../secrets/default-scope.ts";
import type { Target } from "../exchange/exchange.ts";
import type { GatewaySecret } from "../options.ts";

type Use = { readonly methods: readonly string[] | undefined; readonly paths: readonly PathPattern[] | undefined };

/** Where and for what secrets may be used. Patterns are read once for each binding and host. */
export class SecretScopes {
  readonly #hosts = new WeakMap<GatewaySecret, HostPattern | null>();
  readonly #own = new WeakMap<GatewaySecret, readonly PathPattern[]>();
  readonly #defaults = new Map<Scope, readonly Use[]>();

  isBound(secret: GatewaySecret, host: CanonicalHost): boolean {
    let pattern = this.#hosts.get(secret);
    if (pattern === undefined) {
      const parsed = parseHostPattern(secret.host);
      pattern = parsed.kind === "invalid" ? null : parsed;
      this.#hosts.set(secret, pattern);
    }
    return pattern !== null && matchesHost(pattern, host);
  }

  /** Why this request may not carry a secret that is bound to its host; undefined when it may. */
  refusal(secret: GatewaySecret, method: string, { host, path }: Target): string | undefined {
    const upper = method.toUpperCase();
    if (secret.methods !== undefined && !secret.methods.includes(upper)) return `${secret.name} is not bound to the method ${upper}`;
    const normal = normalisePath(path);
    const fits = (patterns: readonly PathPattern[]): boolean =>
      normal.kind === "path" && patterns.some((pattern) => matchesPath(pattern, normal.path));
    if (secret.paths !== undefined) return fits(this.#ownPaths(secret)) ? undefined : `${secret.name} is not bound to this path`;
    const scope = defaultScope(host.text);
    if (scope === undefined) return undefined;
    const isUsual = this.#usesOf(scope).some(({ methods, paths }) => methods?.includes(upper) !== false && fits(paths ?? []));
    return isUsual
      ? undefined
      : `${secret.name} is for calls of models, and this is another part of ${host.text}; a binding with paths = ["/**"] would permit it`;
  }

  #ownPaths(secret: GatewaySecret): readonly PathPattern[] {
    let patterns = this.#own.get(secret);
    if (patterns === undefined) {
      patterns = compile(secret.paths ?? []);
      this.#own.set(secret, patterns);
    }
    return patterns;
  }

  #usesOf(scope: Scope): readonly Use[] {
    let uses = this.#defaults.get(scope);
    if (uses === undefined) {
      uses = scope.map(({ methods, paths }) => ({ methods, paths: compile(paths) }));
      this.#defaults.set(scope, uses);
    }
    return uses;
  }
}

/** A pattern that is none was refused when the binding was made; here it fits nothing. */
function compile(paths: readonly string[]): readonly PathPattern[] {
  return paths.flatMap((path) => {
    const pattern = parsePathPattern(path);
    return "kind" in pattern ? [] : [pattern];
  });
}
