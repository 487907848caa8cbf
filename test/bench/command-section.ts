import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AGENTKERNEL } from "../support/cli.ts";
import type { Bench, Section } from "./context.ts";
import { type Figure, percentiles } from "./figures.ts";
import { startServer } from "./served.ts";
import { type Runner, runners } from "./users.ts";

const SECTION = "start";
const WARM = `the front in bin/, as a user calls it, running ${isBuilt() ? "the bundled program" : "FROM SOURCE since dist/ is not current, which is slower"}, with the compile cache warm; in turn with the peer`;

/** The command line as whole processes. */
export const commandSection: Section = {
  name: "commands",
  run: async (bench) => {
    const figures: Figure[] = [];
    const users = await runners(bench);
    const [first] = users;
    if (first !== undefined) figures.push(await help(bench, first));
    for (const user of users) figures.push(await run(bench, user));
    if (first !== undefined) figures.push(await serveReady(bench, first));
    return figures;
  },
};

/** Does the front find dist/ current? As it looks itself. */
function isBuilt(): boolean {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const stamp = statSync(join(root, "dist/.stamp"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true });
  return sources.every(
    (file) => file.isDirectory() || file.name.endsWith(".test.ts") || statSync(join(file.parentPath, file.name)).mtimeMs <= stamp,
  );
}

/** ms of a whole process, from spawn to its end. */
async function timed(command: string, args: readonly string[], { owner, home }: Runner): Promise<number> {
  const startedAt = performance.now();
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    cwd: "/",
    env: { PATH: "/usr/bin:/bin", HOME: home, AGENTKERNEL_HOME: home, XDG_CONFIG_HOME: `${home}/config` },
    ...owner,
  });
  let said = "";
  child.stdout.resume();
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}: ${said}`);
  return performance.now() - startedAt;
}

/** `ours` and `peer` in turn, after a warm-up that also fills the compile cache. */
async function inTurn(
  bench: Bench,
  ours: () => Promise<number>,
  peer: () => Promise<number>,
): Promise<{ readonly ours: readonly number[]; readonly peer: readonly number[] }> {
  for (let i = 0; i < bench.choose(5, 2); i += 1) {
    await ours();
    await peer();
  }
  const samples = { ours: [] as number[], peer: [] as number[] };
  for (let i = 0; i < bench.choose(100, 3); i += 1) {
    samples.ours.push(await ours());
    samples.peer.push(await peer());
  }
  return samples;
}

async function help(bench: Bench, user: Runner): Promise<Figure> {
  bench.say("commands: --help");
  const samples = await inTurn(
    bench,
    () => timed(AGENTKERNEL, ["--help"], user),
    () => timed(process.execPath, ["-e", "0"], user),
  );
  return {
    section: SECTION,
    name: "`agentkernel --help`, whole process",
    unit: "ms",
    ours: percentiles(samples.ours, 50, 95),
    samples: samples.ours.length,
    target: { of: "p50", atMost: 150 },
    peers: [{ name: "node -e 0", values: percentiles(samples.peer, 50, 95) }],
    how: WARM,
  };
}

async function run(bench: Bench, user: Runner): Promise<Figure> {
  bench.say(`commands: run as ${user.name}`);
  const args = ["run", "--no-workspace", "--", "true"];
  const samples = await inTurn(
    bench,
    () => timed(AGENTKERNEL, args, user),
    () => timed(process.execPath, ["-e", "0"], user),
  );
  return {
    section: SECTION,
    name: `\`agentkernel run --no-workspace -- true\`, whole process, as ${user.name}`,
    unit: "ms",
    ours: percentiles(samples.ours, 50, 95),
    samples: samples.ours.length,
    target: { of: "p50", atMost: 150 },
    peers: [{ name: "node -e 0", values: percentiles(samples.peer, 50, 95) }],
    how: `${WARM}; a fresh sandbox with its gateway, recorded, removed`,
  };
}

async function serveReady(bench: Bench, user: Runner): Promise<Figure> {
  bench.say("commands: serve");
  const ready: number[] = [];
  let rss = 0;
  for (let i = 0; i < bench.choose(22, 3); i += 1) {
    await using server = await startServer(user);
    if (i >= 2) ready.push(server.readyMs);
    rss = server.rss();
  }
  return {
    section: SECTION,
    name: "`agentkernel serve`, to its line `listening on …`",
    unit: "ms",
    ours: { ...percentiles(ready, 50, 95), "resident memory when idle (MiB)": rss / 2 ** 20 },
    samples: ready.length,
    target: { of: "p50", atMost: 500 },
    how: "from the spawn of the front to the line on its output; memory is the resident set of the server's process then",
  };
}
