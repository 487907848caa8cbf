import type { App, Caller } from "../app/facade.ts";
import { type CliConfig, loadCliConfig } from "./cli-config.ts";
import type { Cli } from "./cli.ts";

/** An app in this process, for the commands that need no server. */
export type LocalApp = AsyncDisposable & Pick<CliConfig, "env"> & { readonly app: App; readonly caller: Caller };

export async function openLocalApp(cli: Cli): Promise<LocalApp> {
  const [config, { createApp }, { systemUser }] = await Promise.all([
    loadCliConfig(cli),
    import("../app/create-app.ts"),
    import("../app/caller.ts"),
  ]);
  const app = await createApp(config, { hasMetrics: false, startsSandbox: true });
  return { app, caller: systemUser(), env: config.env, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() };
}
