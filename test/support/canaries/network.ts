import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { testAuthority } from "../gateway/certificates.ts";
import { tempDir } from "../temp.ts";

export type Hit = { readonly kind: "tcp" | "udp" | "dns" | "abstract" | "request" | "body"; readonly to?: string; readonly sent?: string };
export type Heard = { readonly hits: readonly Hit[]; readonly echoes: number };

/** A machine with a network, both made of namespaces: `host` is where agentkernel runs, `world` everything beyond its cable. */
export interface CanaryNetwork extends AsyncDisposable {
  /** PEM that the world's TLS servers are verified with */
  readonly ca: string;
  /** what arrived since the last call, on both sides */
  report(): Promise<{ readonly host: Heard; readonly world: Heard }>;
  /** a program that runs agentkernel in there; `owner`: as that user instead of root */
  program(name: string, owner?: { readonly uid: number; readonly gid: number }): Promise<string>;
  /** runs a command in there, as root, outside of any sandbox */
  run(argv: readonly [string, ...string[]], input?: string): string;
}

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const STATION = fileURLToPath(new URL("./station.ts", import.meta.url));

export async function canaryNetwork(): Promise<CanaryNetwork> {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir({ prefix: "agentkernel-canaries-", mode: 0o755 }));
  const authority = testAuthority();
  const { key, cert } = authority.server("*.example.com");
  await mkdir(join(dir.path, "program"));
  for (const [name, text] of Object.entries({ "key.pem": key, "cert.pem": cert, checkout: ROOT }))
    await writeFile(join(dir.path, name), text);
  const outer = readlinkSync("/proc/self/ns/net");
  const argv = ["-n", "-m", "--propagation", "private", "--", process.execPath, STATION, "host", dir.path, outer];
  const station: ChildProcess = spawn("unshare", argv, { stdio: ["pipe", "pipe", "inherit"] });
  stack.defer(async () => {
    const ended = once(station, "close");
    station.stdin?.end();
    await ended;
  });
  if (station.stdout === null) throw new Error("the station has no output");
  const lines = createInterface({ input: station.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const line = await lines.next();
    if (line.done === true) throw new Error("the station ended");
    return JSON.parse(line.value);
  };
  const { pid } = (await next()) as { pid: number };
  return {
    ca: authority.ca,
    report: async () => {
      station.stdin?.write("report\n");
      return (await next()) as { host: Heard; world: Heard };
    },
    program: async (name, owner) => {
      const as = owner === undefined ? "" : `setpriv --reuid ${owner.uid} --regid ${owner.gid} --clear-groups --`;
      const text = `#!/bin/sh\nexec nsenter -t ${pid} -n -m -- sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" ${as} ${dir.path}/program/bin/agentkernel "$@"\n`;
      const file = join(dir.path, name);
      await writeFile(file, text);
      await chmod(file, 0o755);
      return file;
    },
    run: ([command, ...args], input) => {
      const result = spawnSync("nsenter", ["-t", String(pid), "-n", "-m", "--", command, ...args], {
        encoding: "utf8",
        input: input ?? "",
        timeout: 30_000,
      });
      if (result.status !== 0) throw new Error(`${command}: ${result.stderr}`);
      return result.stdout;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
