import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { chown } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { detectCgroups } from "../../src/backends/bubblewrap/cgroup-layout.ts";
import { sweepGroups } from "../../src/backends/bubblewrap/cgroup.ts";
import { holderName, parseHolderName } from "../../src/backends/bubblewrap/holder-name.ts";
import { processesOf } from "../../src/backends/bubblewrap/stray-processes.ts";
import { readPoolRange } from "../../src/backends/bubblewrap/uid-pool.ts";
import { guestProgram } from "../../src/backends/init/program.ts";
import { bubblewrapHarness } from "../support/bubblewrap-harness.ts";
import { silentLog } from "../../src/base/log.ts";
import { ownIdentity } from "../../src/base/process-identity.ts";
import { missingReason, requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const MAKER = fileURLToPath(new URL("../support/sandbox-maker.ts", import.meta.url));
const source = (file: string): string => new URL(`../../src/backends/bubblewrap/${file}`, import.meta.url).href;
const KILLS = missingReason("long") === undefined ? 100 : 12;

/** Starts the maker and kills it dead a random time after its first output; the children of the maker are its sandboxes. */
async function killOne(
  base: string,
  uid: number,
  afterMs: number,
  as: "root" | "ordinary" = "root",
): Promise<{ readonly pid: number; readonly running: number }> {
  const own = as === "root" ? { args: [String(uid)], owner: {} } : { args: ["0", dirname(guestProgram("init"))], owner: { uid, gid: uid } };
  const child = spawn(process.execPath, [MAKER, base, ...own.args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/",
    ...own.owner,
  });
  let running = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    running += chunk.toString().split("running").length - 1;
  });
  await once(child.stdout, "data");
  await delay(afterMs);
  child.kill("SIGKILL");
  await once(child, "exit");
  return { pid: child.pid ?? -1, running };
}

async function assertNothingLives(uid: number): Promise<void> {
  await waitFor(() => processesOf((other) => other === uid).length === 0, {
    timeoutMs: 5000,
    what: `no live process of uid ${uid}`,
  });
}

test("kill -9 of agentkernel leaves no process, mount or control group behind", {
  ...requires("bwrap", "root"),
  timeout: 300_000,
}, async () => {
  await using base = await tempDir({ mode: 0o755 });
  // nobody else has it, so every process that has it is ours
  const uid = 2_000_000 + process.pid;
  let total = 0;
  const makers = new Set<number>();
  for (let round = 0; round < KILLS; round += 1) {
    const killed = await killOne(base.path, uid, (round * 37) % 150);
    makers.add(killed.pid);
    total += killed.running;
    await assertNothingLives(uid);
  }
  expect(total).toBeGreaterThan(KILLS);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(base.path);
  const cgroups = detectCgroups();
  if (cgroups === undefined) return;
  // whoever starts next sweeps what dead processes left; it may have been another test that started
  await waitFor(
    () => {
      sweepGroups(cgroups, silentLog);
      return cgroups.parents.flatMap((parent) => readdirSync(parent)).every((name) => !makers.has(parseHolderName(name)?.holder.pid ?? -1));
    },
    { what: "no control group of a killed process" },
  );
});

test("the same for one that an ordinary user started", { ...requires("bwrap", "root"), timeout: 300_000 }, async ({ skip }) => {
  const uid = 2_200_000 + process.pid;
  const reads = spawnSync(process.execPath, ["-e", "require('node:fs').accessSync(process.argv[1])", MAKER], {
    uid,
    gid: uid,
    cwd: "/",
    env: {},
  });
  if (reads.status !== 0) skip("this checkout or its Node cannot be reached by an ordinary user");
  await using base = await tempDir({ mode: 0o755 });
  await chown(base.path, uid, uid);
  let total = 0;
  for (let round = 0; round < KILLS; round += 1) {
    total += (await killOne(base.path, uid, (round * 41) % 150, "ordinary")).running;
    await assertNothingLives(uid);
  }
  expect(total).toBeGreaterThan(KILLS);
});

test("out of descriptors, a start is refused and nothing runs", requires("bwrap", "root"), async () => {
  await using base = await tempDir({ mode: 0o755 });
  const uid = 2_300_000 + process.pid;
  const child = spawn("prlimit", ["--nofile=72", process.execPath, MAKER, base.path, String(uid)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: "/usr/bin:/bin" },
  });
  let seen = "";
  child.stdout.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
  });
  await waitFor(() => seen.includes("failed"), { what: "a refusal", timeoutMs: 20_000 });
  child.kill("SIGKILL");
  await once(child, "exit");
  for (const line of seen.split("\n").filter((text) => text.startsWith("failed"))) expect(line).toMatch(/LIMIT_EXCEEDED|EMFILE/);
  await assertNothingLives(uid);
});

test("several that start at once sweep what a dead process left", requires("bwrap", "root"), async () => {
  const cgroups = detectCgroups();
  if (cgroups === undefined) return;
  const { pid } = spawnSync("true");
  const sweep = `const { detectCgroups } = await import(${JSON.stringify(source("cgroup-layout.ts"))});
    const { sweepGroups } = await import(${JSON.stringify(source("cgroup.ts"))});
    await new Promise((resolve) => process.stdin.once("data", resolve));
    sweepGroups(detectCgroups(), { warn: () => undefined });
    process.exit(0);`;
  const sweepers = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ["--input-type=module", "-e", sweep], { stdio: ["pipe", "ignore", "inherit"] }),
  );
  const left = Array.from({ length: 400 }, (_, at) => holderName({ ...ownIdentity(), pid, startTicks: "1" }, `left-${at}`));
  for (const parent of cgroups.parents) for (const name of left) mkdirSync(join(parent, name));
  for (const { stdin } of sweepers) stdin.write("go");
  expect(await Promise.all(sweepers.map(async (sweeper) => (await once(sweeper, "exit"))[0]))).toEqual([0, 0, 0, 0]);
  for (const parent of cgroups.parents) expect(readdirSync(parent).filter((name) => left.includes(name))).toEqual([]);
});

test("what a start finds running under a sandbox uid that nobody holds, it kills", requires("bwrap", "root"), async () => {
  const { firstUid, count } = await readPoolRange();
  const uid = firstUid + count - 1;
  const stray = spawn("/bin/sleep", ["1000"], { uid, gid: uid, stdio: "ignore", env: {} });
  const ended = once(stray, "exit");
  await using harness = await bubblewrapHarness();
  await using _sandbox = await harness.create();
  expect((await ended)[1]).toBe("SIGKILL");
});
