import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startCli } from "./cli.ts";
import type { TestUpstream } from "./gateway/upstream.ts";
import { type Installation, installation } from "./installation.ts";
import { waitFor } from "./wait-for.ts";

export type Answer = { readonly status: number; readonly body: { readonly data?: never; readonly error?: string; readonly code?: string } };

/** An installation whose server runs, with the configuration that it was given; both gone with the scope. */
export interface Served extends AsyncDisposable {
  readonly place: Installation;
  readonly url: string;
  /** what the server wrote to stdout */
  said(): string;
  api(method: string, path: string, body?: object, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** runs a script in a sandbox and gives its stdout */
  inside(name: string, script: string): Promise<string>;
}

export async function served(
  toml: string | ((place: Installation) => Promise<string>),
  {
    args = () => ["--port", "0"],
    env = {},
  }: { readonly args?: (place: Installation) => readonly string[]; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Served> {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(await installation());
  await place.configure(typeof toml === "string" ? toml : await toml(place));
  const child = startCli(["serve", ...args(place)], { home: place.home, cwd: place.workspace, env });
  let output = "";
  let errors = "";
  child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const ended = new Promise<never>((_, reject) => child.once("close", () => reject(new Error(`the server ended: ${errors}`))));
  stack.defer(async () => {
    child.kill("SIGTERM");
    await ended.catch(() => "as it should");
  });
  const listening = waitFor(() => /listening on (http:\/\/\S+)/.exec(output)?.[1], { what: "the server", timeoutMs: 30_000 });
  const url = await Promise.race([listening, ended]);
  const all = stack.move();
  return {
    place,
    url,
    said: () => output,
    api: async (method, path, body, headers = {}) => {
      const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } };
      const response = await fetch(`${url}${path}`, { method, headers, ...json });
      return { status: response.status, body: (await response.json()) as Answer["body"] };
    },
    inside: async (name, script) => (await place.run(["exec", name, "--", "sh", "-c", script])).stdout.toString(),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** `[[egress.upstreams]]` that send the traffic of hosts to a test's own origin. */
export async function upstreamsTo(place: Installation, upstream: TestUpstream, ...hosts: readonly string[]): Promise<string> {
  const file = join(place.home, "upstream-ca.pem");
  await writeFile(file, upstream.override("x").ca ?? "");
  return hosts
    .map((host) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "https://localhost:${upstream.port}"\nca_file = "${file}"\n`)
    .join("");
}
