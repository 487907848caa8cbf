import { resolve } from "node:path";
import { AppError } from "../base/error.ts";
import { configFile } from "../schema/config.ts";
import { settingsOf, type Config } from "../schema/settings.ts";
import { findLater, type Fault } from "./check-keys.ts";
import { checkSettings } from "./check-settings.ts";
import { apiKeyVariable, homeOf, type HostEnvironment } from "./env.ts";
import { explainIssues } from "./explain-issue.ts";
import type { RawTable } from "./parse-toml.ts";
import { provenanceOf, type Layer, type Provenance } from "./provenance.ts";

/** A setting given on the command line, in the file's own terms: `{ key: "server.port", value: 0, flag: "--port" }`. */
export type Override = { readonly key: string; readonly value: unknown; readonly flag: string };

export type LoadOptions = {
  readonly env: HostEnvironment;
  /** uid that this process runs as */
  readonly uid: number;
  /** from `--config` */
  readonly file?: string;
  /** stronger than environment and file */
  readonly overrides?: readonly Override[];
};

export type LoadedConfig = {
  readonly config: Config;
  /** where a value, or each one below a table (`""`: of all), comes from and what it overrode. @throws NOT_FOUND for a key there is not */
  readonly explain: (key: string) => readonly Provenance[];
  /** every key that has a value, sorted */
  readonly keys: readonly string[];
};

/** The configuration from a table that was read already. @throws CONFIG_INVALID */
export function configFrom(raw: RawTable, options: Omit<LoadOptions, "file"> & { readonly file?: string | undefined }): LoadedConfig {
  const file = options.file ?? null;
  const variable = apiKeyVariable(options.env);
  const layers: Layer[] = [
    { origin: file ?? "file", values: raw },
    ...(variable === undefined ? [] : [{ origin: `environment ${variable}`, values: nest("server.api_key", { env: variable }) }]),
    ...(options.overrides ?? []).map(({ key, value, flag }) => ({ origin: flag, values: nest(key, value) })),
  ];
  const fault = (found: Fault, layer: string | null) =>
    new AppError("CONFIG_INVALID", `${layer === null ? "" : `${layer}: `}${found.key} ${found.message}`.trim(), { hint: found.hint });
  for (const { origin, values } of layers) {
    const later = findLater(values);
    if (later !== undefined) throw fault(later, origin);
    // each layer by itself, so that the line names where the mistake stands
    const alone = configFile.safeParse(values, { reportInput: true });
    if (!alone.success) throw fault(explainIssues(alone.error.issues), origin);
  }
  const merged = layers.reduce<RawTable>((below, { values }) => merge(below, values), {});
  const parsed = configFile.safeParse(merged, { reportInput: true });
  if (!parsed.success) throw fault(explainIssues(parsed.error.issues), file);
  const home = () => homeOf(options.env);
  const config = settingsOf(parsed.data, { file, expand: (path) => (path.startsWith("~/") ? resolve(home(), path.slice(2)) : path) });
  const wrong = checkSettings(config);
  if (wrong !== undefined) throw fault(wrong, file);
  return { config, ...provenanceOf(parsed.data, layers) };
}

function nest(key: string, value: unknown): RawTable {
  return key.split(".").reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as RawTable;
}

/** Tables are merged key by key; lists and references replace each other as a whole. */
function merge(below: RawTable, above: RawTable): RawTable {
  const entries = Object.entries(above).map(([key, value]): [string, unknown] => {
    const under = Object.hasOwn(below, key) ? below[key] : undefined;
    return [key, isTable(value) && isTable(under) && key !== "api_key" ? merge(under, value) : value];
  });
  return Object.fromEntries([...Object.entries(below), ...entries]);
}

function isTable(value: unknown): value is RawTable {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
