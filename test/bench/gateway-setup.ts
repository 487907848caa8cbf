import { writeFile } from "node:fs/promises";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { testAuthority } from "../support/gateway/certificates.ts";
import { type Child, startChild } from "./child.ts";
import type { Target } from "./connection.ts";
import type { GatewayParameters, GatewayReady, GatewayState } from "./gateway-program.ts";
import type { HookState } from "./hook-delivery.ts";
import type { Upstream } from "./peers.ts";
import { LLM_HOST, PLAIN_HOST } from "./traffic.ts";

/** Upstream and client of the gateway's figures, each a process of its own. */
export type GatewayBench = {
  readonly upstream: Upstream;
  readonly load: Child<object>;
  /** the upstream without anything between */
  readonly direct: Target;
  /** a certificate for the provider's host, for peers that cannot mint one */
  readonly own: { readonly key: string; readonly cert: string; readonly ca: string };
};

export async function startUpstream(stack: AsyncDisposableStack, dir: string): Promise<GatewayBench> {
  const authority = testAuthority();
  const upstream = stack.use(await startChild<{ port: number }>("upstream-program.ts", authority.server("localhost")));
  const load = stack.use(await startChild<object>("load-program.ts", null));
  const caFile = join(dir, "upstream-ca.pem");
  await writeFile(caFile, authority.ca);
  const { port } = upstream.ready;
  return {
    upstream: { port, ca: authority.ca, caFile },
    load,
    direct: { port, servername: "localhost", ca: authority.ca },
    own: { ...authority.server(LLM_HOST), ca: authority.ca },
  };
}

export type OurGateway = {
  readonly llm: readonly Target[];
  readonly plain: Target;
  state(): Promise<GatewayState>;
  /** an `on_response` hook from now on; null: none */
  hook(target: { readonly name: string; readonly url: string } | null): Promise<void>;
  hookState(): Promise<HookState>;
};

export async function startGateway(
  stack: AsyncDisposableStack,
  dir: string,
  options: Pick<GatewayParameters, "isMetering" | "sandboxes"> & { readonly name: string; readonly upstream: Upstream },
): Promise<OurGateway> {
  const { name, upstream, isMetering, sandboxes } = options;
  const home = join(dir, name);
  mkdirSync(home, { mode: 0o711 });
  const given: GatewayParameters = { home, upstream, isMetering, sandboxes };
  const program = stack.use(await startChild<GatewayReady>(await emitted(home), given, { nodeArguments: launcherFlags() }));
  const { ca, ports } = program.ready;
  const target = (servername: string) => (port: number) => ({ port, servername, ca });
  const [plain] = ports.plain.map(target(PLAIN_HOST));
  if (plain === undefined) throw new Error("the gateway has no listener");
  return {
    llm: ports.llm.map(target(LLM_HOST)),
    plain,
    state: () => program.ask<GatewayState>("state"),
    hook: (to) => program.ask("hook", to),
    hookState: () => program.ask<HookState>("hookState"),
  };
}

/** The program as users get theirs: emitted and joined. From its source, Node would hold what strips the types in memory as well. */
async function emitted(home: string): Promise<string> {
  // two folders below the package's own file, as in a package
  const dir = join(home, "package", "dist", "program");
  mkdirSync(dir, { recursive: true });
  copyFileSync(new URL("../../package.json", import.meta.url), join(home, "package", "package.json"));
  symlinkSync(fileURLToPath(new URL("../../node_modules", import.meta.url)), join(home, "package", "node_modules"));
  const input = { gateway: fileURLToPath(new URL("./gateway-program.ts", import.meta.url)) };
  await using bundle = await rolldown({ input, platform: "node", onLog: () => undefined });
  await bundle.write({ dir, entryFileNames: "[name].mjs", chunkFileNames: "[name]-[hash].mjs" });
  return join(dir, "gateway.mjs");
}

/** V8's flags that users' servers get: the front in bin/ is where they stand. */
function launcherFlags(): readonly string[] {
  const front = readFileSync(new URL("../../bin/agentkernel", import.meta.url), "utf8");
  return [...front.matchAll(/\bflags="?(?:\$flags )?(--[\w-]+=\d+)/g)].flatMap(([, flag]) => flag ?? []);
}
