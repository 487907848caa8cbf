import { type HostEnvironment, hostEnvironment } from "../config/env.ts";
import type { LoadedConfig } from "../config/config-from.ts";
import { loadConfig } from "../config/load.ts";
import { type StatePaths, statePaths } from "../config/paths.ts";
import { prepareState } from "../config/prepare-state.ts";
import { AppError } from "../base/error.ts";
import type { Config } from "../schema/settings.ts";
import type { Cli } from "./cli.ts";

export type CliConfig = LoadedConfig & {
  readonly paths: StatePaths;
  readonly env: HostEnvironment;
  /** reads the file again */
  readonly reload: () => Promise<Config>;
};

/** Configuration and state folders of this user; the folders are made. */
export async function loadCliConfig(cli: Cli): Promise<CliConfig> {
  if (cli.configFile === "") throw new AppError("VALIDATION", "--config names no file", { hint: "write --config FILE" });
  const uid = process.getuid?.() ?? -1;
  const options = { env: hostEnvironment, uid, ...(cli.configFile === undefined ? {} : { file: cli.configFile }) };
  const loaded = await loadConfig(options);
  const paths = statePaths(hostEnvironment, uid);
  await prepareState(paths, uid);
  return { ...loaded, paths, env: hostEnvironment, reload: async () => (await loadConfig(options)).config };
}
