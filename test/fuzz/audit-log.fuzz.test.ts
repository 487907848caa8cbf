import { readFile, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { parseCheckpoint } from "../../src/events/checkpoint.ts";
import { parseLine } from "../../src/events/chain.ts";
import { parseAnchors } from "../../src/events/verify-log.ts";
import { tailEvents } from "../../src/events/tail.ts";
import { change, logPlace, onlyFile, openAt, verifyAt } from "../support/event-log.ts";
import { randomFrom } from "../support/forgetful-disk.ts";

const SEED = Number(process.env["AGENTKERNEL_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const RUNS = process.env["AGENTKERNEL_LONG"] ? 20_000 : 600;

/** One random edit: a run of bytes is replaced, removed, repeated, moved or made up. */
function edit(bytes: Buffer, random: () => number): Buffer {
  const at = Math.floor(random() * bytes.length);
  const length = Math.floor(random() ** 3 * bytes.length) + 1;
  const [before, run, after] = [bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at + length)];
  const junk = (): Buffer => Buffer.from(Array.from({ length: Math.min(length, 600) }, () => Math.floor(random() * 256)));
  switch (Math.floor(random() * 6)) {
    case 0:
      return Buffer.concat([before, junk(), after]);
    case 1:
      return Buffer.concat([before, after]);
    case 2:
      return Buffer.concat([before, run, run, after]);
    case 3:
      return Buffer.concat([after, run, before]);
    case 4:
      return Buffer.concat([before, Buffer.alloc(length), after]);
    default:
      return Buffer.concat([before, junk(), run, after]);
  }
}

test(`${RUNS} random edits of a finished log are all found, and none of them stops the readers`, { timeout: 30_000 + RUNS * 60 }, async ({
  annotate,
}) => {
  await annotate(`AGENTKERNEL_SEED=${SEED}`);
  const random = randomFrom(SEED);
  await using place = await logPlace();
  const log = await openAt(place, { limits: { checkpointEvents: 5 } });
  for (let index = 0; index < 20; index += 1) await log.append(change(String(index)));
  await log[Symbol.asyncDispose]();
  const files = [await onlyFile(place.dir, "0001.jsonl"), await onlyFile(place.dir, "checkpoints.jsonl")] as const;
  const originals = await Promise.all(files.map((file) => readFile(file)));
  for (let run = 0; run < RUNS; run += 1) {
    const which = random() < 0.7 ? 0 : 1;
    const original = originals[which] ?? Buffer.alloc(0);
    const edited = edit(original, random);
    if (edited.equals(original)) continue;
    await writeFile(files[which], edited);
    const report = await verifyAt(place);
    // checkpoints whose end was cut at a line, or within one, are what a power cut leaves; anchors are for that
    const isShortened = which === 1 && original.subarray(0, edited.length).equals(edited);
    const isTorn = which === 1 && report.exit === 3;
    expect(report.exit !== 0 || isShortened, `seed ${SEED}, run ${run}, file ${which}: ${JSON.stringify(report)}`).toBe(true);
    if (which === 0) expect([1, 2], `seed ${SEED}, run ${run}: ${JSON.stringify(report)}`).toContain(report.exit);
    else expect(isTorn || isShortened || report.exit === 1, `seed ${SEED}, run ${run}: ${JSON.stringify(report)}`).toBe(true);
    await tailEvents({ dir: place.dir, last: 5 });
    await writeFile(files[which], original);
  }
  expect(await verifyAt(place)).toMatchObject({ exit: 0 });
});

test("the parsers take anything", () => {
  const random = randomFrom(SEED);
  for (let run = 0; run < 20_000; run += 1) {
    const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 300) }, () => Math.floor(random() * 256)));
    const text = `${random() < 0.5 ? '{"v":1,"chain":"chn_' : '{"checkpoint":{"v":1,'}${bytes.toString("latin1")}}`;
    expect(parseLine(Buffer.from(text, "latin1"), 0, text.length)).toBeUndefined();
    expect(parseCheckpoint(text)).toBeUndefined();
    expect(parseAnchors(text).anchors).toEqual([]);
  }
});
