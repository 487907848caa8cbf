import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { detectCgroups } from "../../src/backends/bubblewrap/cgroup-layout.ts";
import { sweepGroups } from "../../src/backends/bubblewrap/cgroup.ts";
import { parseHolderName } from "../../src/backends/bubblewrap/holder-name.ts";
import { processesOf } from "../../src/backends/bubblewrap/stray-processes.ts";
import { silentLog } from "../../src/base/log.ts";
import { missingReason, requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const MAKER = fileURLToPath(new URL("../support/sandbox-maker.ts", import.meta.url));
const KILLS = missingReason("long") === undefined ? 100 : 12;

/** Starts the maker and kills it dead a random time after its first output; the children of the maker are its sandboxes. */
async function killOne(base: string, uid: number, afterMs: number): Promise<{ readonly pid: number; readonly running: number }> {
  const child = spawn(process.execPath, [MAKER, base, String(uid)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: "/usr/bin:/bin" },
  });
  let running = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    running += chunk.toString().split("\n").length - 1;
  });
  await once(child.stdout, "data");
  await delay(afterMs);
  child.kill("SIGKILL");
  await once(child, "exit");
  return { pid: child.pid ?? -1, running };
}

async function assertNothingLives(uid: number): Promise<void> {
  await waitFor(async () => (await processesOf((other) => other === uid)).length === 0, {
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
