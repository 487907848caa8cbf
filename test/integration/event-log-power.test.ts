import { readFile, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { durabilityOf } from "../../src/events/durability.ts";
import { change, idsIn, logPlace, onlyFile, openAt, pretendReboot, tunnel, verifyAt } from "../support/event-log.ts";
import { errno, ForgetfulDisk, randomFrom } from "../support/forgetful-disk.ts";

const ROUNDS = process.env["AGENTKERNEL_LONG"] ? 1000 : 60;
const SEED = Number(process.env["AGENTKERNEL_SEED"] ?? Math.floor(Math.random() * 2 ** 32));

test(`${ROUNDS} power cuts at random points lose no acknowledged durable event, and the log verifies`, {
  timeout: 30_000 + ROUNDS * 500,
}, async ({ annotate }) => {
  await annotate(`AGENTKERNEL_SEED=${SEED}`);
  await using place = await logPlace();
  const acknowledged: string[] = [];
  let torn = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const random = randomFrom(SEED + round);
    const disk = new ForgetfulDisk(random);
    const log = await openAt(place, {
      files: disk,
      limits: { rotateBytes: 4000 + Math.floor(random() * 30_000), checkpointEvents: 7, fastSyncMs: 3_600_000, batchEvents: 20 },
    });
    const stopAt = Math.floor(random() * 120);
    // in some rounds a sync fails as well, some time before the power does
    const failAt = random() < 0.4 ? Math.floor(random() * stopAt) : -1;
    let count = 0;
    const lane = async (): Promise<void> => {
      while (count < stopAt) {
        count += 1;
        if (count === failAt) disk.faults.datasync = () => ((disk.faults.datasync = () => undefined), errno("EIO"));
        const event = await log.append(random() < 0.3 ? tunnel("h") : change("r", { reason: "x".repeat(Math.floor(random() * 2000)) }));
        if (durabilityOf(event) === "durable") acknowledged.push(event.id);
      }
    };
    const lanes = Array.from({ length: 8 }, lane);
    await Promise.race(lanes);
    const told = await disk.cutPower();
    // what is under way now was never acknowledged
    await Promise.allSettled(lanes);
    await log[Symbol.asyncDispose]();
    await pretendReboot(place.dir);
    await (await openAt(place))[Symbol.asyncDispose]();
    const report = await verifyAt(place, { chain: log.head().chain });
    // a chain of which not even the directory's name was remembered is not there, and nothing of it was acknowledged
    expect(
      report.exit === 0 || report.chains[0]?.detail === "there is no such chain",
      `seed ${SEED}, round ${round}: ${JSON.stringify(report)}\n${told.join("\n")}`,
    ).toBe(true);
    torn += told.some((line) => !line.includes("forgotten")) ? 1 : 0;
  }
  const report = await verifyAt(place);
  expect(report.chains.filter((chain) => chain.verdict !== "intact")).toEqual([]);
  const ids = await idsIn(place.dir);
  expect(acknowledged.filter((id) => !ids.has(id))).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(ROUNDS * 10);
  await annotate(`${ROUNDS} power cuts, ${torn} with files left, ${acknowledged.length} acknowledged durable events`);
});

test.each([0, 512])("a last line whose newline and %i bytes behind it are zeros is an unfinished write", async (more) => {
  await using place = await logPlace();
  const disk = new ForgetfulDisk();
  const log = await openAt(place, { files: disk, limits: { fastSyncMs: 3_600_000 } });
  await log.append(change("r"));
  await log.append(tunnel("h"));
  const segment = await onlyFile(place.dir, "0001.jsonl");
  const whole = await readFile(segment);
  await disk.cutPower();
  await log[Symbol.asyncDispose]();
  await writeFile(segment, Buffer.concat([whole.subarray(0, -1), Buffer.alloc(1 + more)]));
  await pretendReboot(place.dir);
  await (await openAt(place))[Symbol.asyncDispose]();
  expect(await verifyAt(place)).toMatchObject({ exit: 0 });
});
