import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { idsIn, logPlace, openAt, verifyAt } from "../support/event-log.ts";
import { expectNoChildren } from "../support/leftovers.ts";

const APPENDER = fileURLToPath(new URL("../support/event-log-appender.ts", import.meta.url));
const ROUNDS = process.env["AGENTKERNEL_LONG"] ? 500 : 40;
const AT_ONCE = 2;

afterAll(() => expectNoChildren(/esbuild|vitest/));

/** Runs an appender until it is killed; the ids that it said were acknowledged. */
async function killed(place: { dir: string; keyFile: string }, after: "start" | "first", delayMs: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, [APPENDER, place.dir, place.keyFile], { stdio: ["ignore", "pipe", "pipe"] });
  const chunks: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  const closed = new Promise<NodeJS.Signals | null>((resolve) => child.once("close", (_code, signal) => resolve(signal)));
  if (after === "first") await Promise.race([new Promise((resolve) => child.stdout.once("data", resolve)), closed]);
  await Promise.race([delay(delayMs), closed]);
  child.kill("SIGKILL");
  // it never ends by itself, so any other end is a failure of the log
  expect([await closed, Buffer.concat(errors).toString()]).toEqual(["SIGKILL", ""]);
  const text = Buffer.concat(chunks).toString();
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((id) => id !== "");
}

test(`${ROUNDS} kills at random points lose no acknowledged event, and the log verifies`, { timeout: 30_000 + ROUNDS * 1500 }, async ({
  annotate,
}) => {
  await using place = await logPlace();
  const acknowledged: string[] = [];
  let roundsWithEvents = 0;
  for (let round = 0; round < ROUNDS; round += AT_ONCE) {
    // one in four anywhere from the start on, recovery of those killed before included; the others under load, over rotations
    const rounds = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, index) =>
        (round + index) % 4 === 0 ? killed(place, "start", 50 + Math.random() * 500) : killed(place, "first", Math.random() * 200),
      ),
    );
    for (const ids of rounds) {
      acknowledged.push(...ids);
      if (ids.length > 0) roundsWithEvents += 1;
    }
  }
  // finishes the chains of the last ones
  await (await openAt(place))[Symbol.asyncDispose]();
  const report = await verifyAt(place);
  expect(report.chains.filter((chain) => chain.verdict !== "intact")).toEqual([]);
  expect(report.exit).toBe(0);
  expect(await readdir(join(place.dir, "owners"))).toEqual([]);
  const ids = await idsIn(place.dir);
  expect(acknowledged.filter((id) => !ids.has(id))).toEqual([]);
  expect(new Set(acknowledged).size).toBe(acknowledged.length);
  expect(roundsWithEvents).toBeGreaterThan(ROUNDS / 2);
  await annotate(
    `${ROUNDS} kills, ${roundsWithEvents} of them under load; ${acknowledged.length} acknowledged, ${report.events} in the log, ${report.chains.length} chains`,
  );
});
