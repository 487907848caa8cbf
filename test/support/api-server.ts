import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import { type Client, createClient } from "../../src/client/client.ts";
import { createServer, type Server, type ServerOptions } from "../../src/server/server.ts";
import { createFakeApp, type FakeApp } from "./fake-app.ts";
import { tempDir } from "./temp.ts";

export type TestServer = AsyncDisposable & {
  readonly app: FakeApp;
  readonly server: Server;
  readonly url: string;
  readonly socketPath: string;
  /** over the Unix socket */
  readonly client: Client;
  /** a request over TCP; the answer's status and JSON */
  api(
    method: string,
    path: string,
    options?: { readonly body?: unknown; readonly headers?: Record<string, string>; readonly signal?: AbortSignal },
  ): Promise<{ readonly status: number; readonly body: ApiBody; readonly headers: Headers }>;
};

export type ApiBody = {
  readonly success: boolean;
  readonly data: never;
  readonly error: string;
  readonly code: string;
  readonly hint?: string;
  readonly request_id: string;
  readonly next_cursor?: string;
};

/** The API over the fake app, on a free port and a Unix socket of its own. */
export async function startServer(options: Partial<Omit<ServerOptions, "app">> = {}): Promise<TestServer> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const socketPath = join(dir.path, "api.sock");
  const app = createFakeApp();
  const server = stack.use(await createServer({ app, listen: { port: 0, socketPath }, log: silentLog, graceMs: 500, ...options }));
  const { url = "" } = await server.start();
  const client = stack.use(createClient({ socketPath }));
  const all = stack.move();
  return {
    app,
    server,
    url,
    socketPath,
    client,
    api: async (method, path, { body, headers, signal } = {}) => {
      const response = await fetch(url + path, {
        method,
        headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
      });
      return { status: response.status, headers: response.headers, body: (await response.json()) as ApiBody };
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
