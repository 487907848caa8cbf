import { AppError } from "../base/error.ts";
import type { ConfigFile } from "../schema/config.ts";
import type { RawTable } from "./parse-toml.ts";
import { hideSecrets } from "./plain-secrets.ts";
import { suggest } from "./suggest.ts";

/** One source of settings, weakest first. */
export type Layer = { readonly origin: string; readonly values: RawTable };

/** A value with its origin: a file, `environment NAME`, a flag, or `default`. Secrets that stand there as texts are hidden. */
export type Provenance = {
  readonly key: string;
  readonly value: unknown;
  readonly origin: string;
  /** what the value stands in front of, strongest first */
  readonly overrode: readonly { readonly origin: string; readonly value: unknown }[];
};

export function provenanceOf(
  complete: ConfigFile,
  layers: readonly Layer[],
): { readonly explain: (key: string) => readonly Provenance[]; readonly keys: readonly string[] } {
  const flat = new Map(leaves(complete, ""));
  const sources = layers.map(({ origin, values }) => ({ origin, values: new Map(leaves(values, "")) })).reverse();
  const keys = [...flat.keys()].sort();
  const one = (key: string): Provenance => {
    const set = sources.flatMap(({ origin, values }) => (values.has(key) ? [{ origin, value: values.get(key) }] : []));
    // the value as it was written, so that it reads as in the file: 2h, not 7200000
    const [strongest, ...overrode] = set.map(({ origin, value }) => ({ origin, value: hideSecrets(value) }));
    return strongest === undefined
      ? { key, value: hideSecrets(flat.get(key)), origin: "default", overrode: [] }
      : { key, ...strongest, overrode };
  };
  const explain = (key: string): readonly Provenance[] => {
    if (flat.has(key)) return [one(key)];
    const below = keys.filter((name) => key === "" || name.startsWith(`${key}.`));
    if (below.length > 0) return below.map(one);
    const near = suggest(key, keys);
    throw new AppError("NOT_FOUND", `${JSON.stringify(key.slice(0, 100))} is no key of the configuration that has a value`, {
      hint: near === undefined ? "agentkernel config explain lists the keys" : `did you mean ${near}?`,
    });
  };
  return { explain, keys };
}

/** Dotted keys with what stands there. A list or a reference is one value; an empty table is none. */
function leaves(table: object, prefix: string): [string, unknown][] {
  return Object.entries(table).flatMap(([key, value]): [string, unknown][] => {
    const name = prefix === "" ? key : `${prefix}.${key}`;
    if (value === undefined) return [];
    const isGroup = typeof value === "object" && value !== null && !Array.isArray(value) && key !== "api_key" && prefix !== "secrets";
    return isGroup ? leaves(value, name) : [[name, value]];
  });
}
