import { resolve } from "node:path";
import { emptyConfig } from "../schema/config-defaults.ts";
import { settingsOf } from "../schema/settings.ts";
import type { LoadedConfig, LoadOptions } from "./config-from.ts";
import { apiKeyVariable } from "./env.ts";
import { findConfig } from "./locate.ts";
import { configCandidates } from "./paths.ts";
import { provenanceOf } from "./provenance.ts";

/**
 * Reads the configuration: flags over environment over file over defaults.
 *
 * @throws CONFIG_INVALID with one line that names file and key, and a hint that says what to do
 */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const named = options.file === undefined ? undefined : resolve(options.file);
  const found = await findConfig(named, configCandidates(options.env, options.uid), options.uid);
  // nobody set anything: the schema, which takes longer to load than all of this, has nothing to say
  if (found === undefined && apiKeyVariable(options.env) === undefined && (options.overrides ?? []).length === 0) return await defaults();
  const [{ parseToml }, { configFrom }] = await Promise.all([import("./parse-toml.ts"), import("./config-from.ts")]);
  return configFrom(found === undefined ? {} : parseToml(found.text, found.file), { ...options, file: found?.file });
}

async function defaults(): Promise<LoadedConfig> {
  const empty = await emptyConfig();
  return { config: settingsOf(empty, { file: null, expand: (path) => path }), ...provenanceOf(empty, []) };
}
