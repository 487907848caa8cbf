import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createApp, type OwnedApp } from "../../src/app/create-app.ts";
import type { Caller } from "../../src/app/facade.ts";
import { loadConfig } from "../../src/config/load.ts";
import { type StatePaths, statePaths } from "../../src/config/paths.ts";
import { prepareState } from "../../src/config/prepare-state.ts";
import { tempDir } from "./temp.ts";

export const TEST_CALLER: Caller = { actor: { kind: "user", user_id: "me" }, requestId: "req_test" };

/** Apps over one state directory and one configuration file. */
export interface AppSetting extends AsyncDisposable {
  /** for files beside the configuration */
  readonly dir: string;
  readonly paths: StatePaths;
  readonly app: OwnedApp;
  /** another process of this installation, as it were */
  beside(): Promise<OwnedApp>;
  /** replaces the configuration; it holds after a reload */
  write(toml: string): Promise<void>;
}

export async function appSetting(first: string | ((dir: string) => Promise<string>)): Promise<AppSetting> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const variables: Record<string, string> = { AGENTKERNEL_HOME: dir.path, HOME: dir.path };
  const env = { get: (name: string) => variables[name], names: () => Object.keys(variables) };
  const uid = process.getuid?.() ?? 0;
  const paths = statePaths(env, uid);
  await mkdir(paths.state, { recursive: true });
  await prepareState(paths, uid);
  const file = join(dir.path, "test.toml");
  const write = (toml: string): Promise<void> => writeFile(file, toml);
  const read = async () => (await loadConfig({ env, uid, file })).config;
  await write(typeof first === "string" ? first : await first(dir.path));
  const open = async (): Promise<OwnedApp> =>
    owned.use(await createApp({ config: await read(), paths, env, reload: read }, { isServer: true, hasMetrics: false }));
  const owned = new AsyncDisposableStack();
  stack.use(owned);
  const app = await open();
  const all = stack.move();
  return { dir: dir.path, paths, app, beside: open, write, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
