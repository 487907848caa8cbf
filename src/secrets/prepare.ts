import { AppError } from "../base/error.ts";
import type { Secret } from "../base/secret.ts";
import type { Binding } from "./binding.ts";
import { createPlaceholder, type RandomSource } from "./placeholder.ts";
import { awsRole } from "./sigv4.ts";
import { checkSecretValue } from "./value.ts";

/** A secret that the gateway puts into requests to one host; the sandbox holds the placeholder. */
export type BoundSecret = Binding & { readonly placeholder: string; readonly value: Secret };

export type PreparedSecrets = {
  /** for the gateway */
  readonly bound: readonly BoundSecret[];
  /** for the inside: variable to placeholder */
  readonly env: Readonly<Record<string, string>>;
};

/**
 * Gives every named secret one placeholder, also where it is bound to several hosts.
 *
 * @param valueOf finds the value of a name; called once for each
 * @param randomFor where the placeholder of a name comes from: chance, or `derivedRandom` to find it again after a restart
 * @throws VALIDATION for a binding that stands twice and for a value that no header could carry
 */
export function prepareSecrets(
  bindings: readonly Binding[],
  valueOf: (name: string) => Secret,
  randomFor?: (name: string) => RandomSource,
): PreparedSecrets {
  const names = [...new Set(bindings.map(({ name }) => name))];
  const made = new Map<string, { readonly value: Secret; readonly placeholder: string }>();
  const env: Record<string, string> = {};
  for (const name of names) {
    const value = valueOf(name);
    checkSecretValue(value.reveal(), name);
    const taken = [...made.values()].map(({ placeholder }) => placeholder);
    const placeholder = createPlaceholder(value.reveal(), taken, randomFor?.(name));
    made.set(name, { value, placeholder });
    env[name] = placeholder;
  }
  const seen = new Set<string>();
  const bound = bindings.map((binding): BoundSecret => {
    const place = `${binding.name}\0${binding.host}`;
    if (seen.has(place))
      throw new AppError("VALIDATION", `${binding.name} is bound to ${binding.host} twice`, { hint: "keep one of the two bindings" });
    seen.add(place);
    const found = made.get(binding.name);
    if (found === undefined) throw new AppError("INTERNAL", `no placeholder was made for ${binding.name}`);
    refuseDoubledScheme(binding, found.value);
    const { name, host, header, scheme, others, methods, paths, query } = binding;
    return {
      name,
      host,
      header,
      scheme,
      ...(others === undefined ? {} : { others }),
      ...(methods === undefined ? {} : { methods }),
      ...(paths === undefined ? {} : { paths }),
      ...(query === undefined ? {} : { query }),
      ...found,
    };
  });
  for (const one of bound) refuseLoneId(one, bound);
  return { bound, env };
}

/** An id without its secret key, and the other way round, signs nothing. */
function refuseLoneId({ name, host, scheme }: BoundSecret, bound: readonly BoundSecret[]): void {
  const { credential, role } = (scheme === "sigv4" ? awsRole(name) : undefined) ?? {};
  if (credential === undefined) return;
  for (const wanted of ["id", "key"] as const) {
    const isThere = bound.some((other) => {
      const its = awsRole(other.name);
      return other.host === host && other.scheme === "sigv4" && its?.credential === credential && its.role === wanted;
    });
    if (role === wanted || isThere) continue;
    const missing = `${credential}${wanted === "id" ? "ACCESS_KEY_ID" : "SECRET_ACCESS_KEY"}`;
    throw new AppError("VALIDATION", `${name} is bound to ${host}, but ${missing} is not, and only both of them sign`, {
      hint: `add --secret ${missing}:${host}`,
    });
  }
}

/** `Bearer Bearer …` is refused by every server, and by none of them in a way that says why. */
function refuseDoubledScheme({ name, scheme }: Binding, value: Secret): void {
  if (scheme === "bearer" && /^bearer\s/i.test(value.reveal())) {
    throw new AppError("VALIDATION", `the value of ${name} begins with "Bearer", which the gateway puts before it`, {
      hint: "store the token alone",
    });
  }
}
