import { readFile } from "node:fs/promises";
import { AppError, errnoOf } from "../base/error.ts";
import { Secret } from "../base/secret.ts";
import type { CliConfig } from "./cli-config.ts";

export type ServingOptions = {
  readonly socketPath: string;
  readonly tcp?: { readonly host: string; readonly port: number };
  /** stronger than `[server] api_key` */
  readonly apiKeyFile?: string;
  /** takes what `[[audit.streams]]` writes to stdout; absent: nobody reads it */
  readonly stdout?: (text: string) => Promise<void>;
};

/** An app with the API in front of it. */
export type Serving = AsyncDisposable & {
  readonly url?: string;
  /** ms since the last request, 0 while one or a sandbox runs */
  idleMs(): number;
  reload(): Promise<void>;
  readonly runningSandboxes: number;
};

export async function createServing(config: CliConfig, options: ServingOptions): Promise<Serving> {
  const [{ createApp }, { createServer }, { createLogger }, { systemUser }] = await Promise.all([
    import("../app/create-app.ts"),
    import("../server/server.ts"),
    import("../app/logger.ts"),
    import("../app/caller.ts"),
  ]);
  const log = createLogger("info");
  await using stack = new AsyncDisposableStack();
  const app = stack.use(
    await createApp(config, { log, isServer: true, ...(options.stdout === undefined ? {} : { stdout: options.stdout }) }),
  );
  const key = options.apiKeyFile === undefined ? await app.apiKey() : await keyFrom(options.apiKeyFile);
  const server = stack.use(
    await createServer({
      app,
      listen: { ...options.tcp, socketPath: options.socketPath },
      auth: { keys: key === undefined ? [] : [{ name: "default", key }] },
      allowedOrigins: config.config.server.allowedOrigins,
      log,
    }),
  );
  const { url } = await server.start();
  if (url !== undefined) app.addOwnPort(Number(new URL(url).port));
  const owned = stack.move();
  return {
    ...(url === undefined ? {} : { url }),
    idleMs: () => (app.runningSandboxes > 0 ? 0 : (server.idleMs() ?? 0)),
    reload: async () => {
      try {
        await app.policy.reload(systemUser());
      } catch (error) {
        log.error("the configuration was not reloaded; what was loaded before holds", { error: String(error) });
      }
    },
    get runningSandboxes() {
      return app.runningSandboxes;
    },
    [Symbol.asyncDispose]: async () => {
      // nothing new is taken; what runs is ended, so that whoever waits for it is answered and not cut off
      const closed = server[Symbol.asyncDispose]();
      await Promise.all([closed, app.endSandboxes()]);
      await owned.disposeAsync();
    },
  };
}

async function keyFrom(file: string): Promise<Secret> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new AppError("VALIDATION", `--api-key-file ${file} cannot be read: ${errnoOf(error) ?? "unreadable"}`, { cause: error });
  });
  if (text.trim() === "") throw new AppError("VALIDATION", `--api-key-file ${file} is empty`);
  return new Secret(text.trim());
}
