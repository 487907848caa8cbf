import { copyFile, cp, mkdir, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatLine, GENESIS, parseLine } from "../../src/events/chain.ts";
import { type LogReport, parseAnchors } from "../../src/events/verify-log.ts";
import type { Event } from "../../src/schema/event.ts";
import { change, type LogPlace, logPlace, newSigner, onlyFile, openAt, pretendReboot, verifyAt } from "../support/event-log.ts";
import { randomFrom } from "../support/forgetful-disk.ts";
import { trustedKeys } from "../../src/events/checkpoint-key.ts";

const SEED = Number(process.env["AGENTKERNEL_SEED"] ?? 1);

/** A finished chain of nine events in one segment, verified again after each change to its files. */
let place: LogPlace;
let segment: string;
let checkpoints: string;
let chain: string;
let original: Buffer;
let signed: Buffer;
let lines: readonly string[];

beforeAll(async () => {
  place = await logPlace();
  const log = await openAt(place, { limits: { checkpointEvents: 3 } });
  chain = log.head().chain;
  for (const id of ["a", "b", "c", "d", "e", "f", "g"]) await log.append(change(id));
  await log[Symbol.asyncDispose]();
  segment = await onlyFile(place.dir, "0001.jsonl");
  checkpoints = await onlyFile(place.dir, "checkpoints.jsonl");
  original = await readFile(segment);
  signed = await readFile(checkpoints);
  lines = original.toString().split("\n").slice(0, -1);
});

afterAll(() => place[Symbol.asyncDispose]());

async function withSegment(bytes: Buffer | string): Promise<LogReport> {
  await writeFile(segment, bytes);
  try {
    return await verifyAt(place);
  } finally {
    await writeFile(segment, original);
  }
}

const join_ = (parts: readonly string[]): string => parts.map((line) => `${line}\n`).join("");

test("the chain is whole before anything is done to it", async () => {
  expect(await verifyAt(place)).toMatchObject({ exit: 0, verdict: "intact", events: 9 });
  expect(lines).toHaveLength(9);
});

test("every change of a single byte of a segment is found, and names its event", { timeout: 120_000 }, async () => {
  const random = randomFrom(SEED);
  const wrong: unknown[] = [];
  let seq = 1;
  for (let at = 0; at < original.length; at += 1) {
    const old = original[at] ?? 0;
    // one in eight becomes a newline or a NUL, which are what the format hangs on
    const pick = random();
    const value = pick < 0.06 && old !== 0x0a ? 0x0a : pick < 0.12 ? 0 : old ^ (1 + Math.floor(random() * 255));
    const bytes = Buffer.from(original);
    bytes[at] = value;
    const report = await withSegment(bytes);
    const found = report.chains[0];
    if (report.exit !== 1 || found?.kind !== "altered" || found.seq !== seq) wrong.push({ at, old, value, seq, found });
    if (old === 0x0a) seq += 1;
  }
  expect(wrong).toEqual([]);
  expect(seq).toBe(10);
});

test("every change of a single byte of the checkpoints is found", { timeout: 120_000 }, async () => {
  const random = randomFrom(SEED + 1);
  const wrong: unknown[] = [];
  for (let at = 0; at < signed.length; at += 1) {
    const bytes = Buffer.from(signed);
    bytes[at] = (signed[at] ?? 0) ^ (1 + Math.floor(random() * 255));
    await writeFile(checkpoints, bytes);
    const report = await verifyAt(place);
    if (report.exit !== 1 || report.chains[0]?.kind !== "bad_signature") wrong.push({ at, report });
  }
  await writeFile(checkpoints, signed);
  expect(wrong).toEqual([]);
});

describe("lines", () => {
  test("each one that is deleted is missing; the last one is a cut tail", async () => {
    for (let index = 0; index < lines.length - 1; index += 1) {
      const report = await withSegment(join_(lines.toSpliced(index, 1)));
      expect([index, report.exit, report.chains[0]?.kind, report.chains[0]?.seq]).toEqual([index, 1, "missing", index + 1]);
    }
    expect(await withSegment(join_(lines.slice(0, -1)))).toMatchObject({ exit: 2, verdict: "truncated", chains: [{ seq: 9 }] });
  });

  test("each two that are swapped are reordered", async () => {
    for (let one = 0; one < lines.length; one += 1) {
      for (let two = one + 1; two < lines.length; two += 1) {
        const swapped = lines.with(one, lines[two] ?? "").with(two, lines[one] ?? "");
        const report = await withSegment(join_(swapped));
        expect([one, two, report.exit, report.chains[0]?.kind, report.chains[0]?.seq]).toEqual([one, two, 1, "reordered", one + 1]);
      }
    }
  });

  test("each copy that is put anywhere is inserted", async () => {
    for (let what = 0; what < lines.length; what += 1) {
      for (let where = 0; where <= lines.length; where += 1) {
        const report = await withSegment(join_(lines.toSpliced(where, 0, lines[what] ?? "")));
        expect([what, where, report.exit, report.chains[0]?.kind]).toEqual([what, where, 1, "inserted"]);
      }
    }
  });

  test("one that is no event is inserted", async () => {
    for (let where = 0; where < lines.length; where += 1) {
      for (const junk of ["", "x", "{}", "\0".repeat(600), lines[0]?.slice(0, 200) ?? ""]) {
        const report = await withSegment(join_(lines.toSpliced(where, 0, junk)));
        expect([where, junk.length, report.exit, report.chains[0]?.kind, report.chains[0]?.seq]).toEqual([
          where,
          junk.length,
          1,
          "inserted",
          where + 1,
        ]);
      }
    }
  });

  test("a forged one with a hash that fits itself is found wherever it stands", async () => {
    for (let where = 0; where <= lines.length; where += 1) {
      const before = where === 0 ? GENESIS : (parse(where - 1).hash ?? "");
      const { line } = formatLine(chain, where + 1, before, '{"id":"evt_forged"}');
      const report = await withSegment(join_(lines.toSpliced(where, 0, line.trimEnd())));
      expect([where, report.exit, report.chains[0]?.kind]).toEqual([where, 1, "inserted"]);
    }
  });

  test("a chain that is written anew with fitting hashes does not fit what was signed", async () => {
    for (let changed = 0; changed < lines.length; changed += 1) {
      let prev = GENESIS;
      const forged = lines.map((line, index) => {
        const parsed = parseLine(Buffer.from(line), 0, Buffer.byteLength(line));
        const event = line.slice(parsed?.eventStart, -1);
        const made = formatLine(chain, index + 1, prev, index === changed ? event.replace('"outcome":"', '"outcome":"x') : event);
        prev = made.hash;
        return made.line;
      });
      const report = await withSegment(forged.join(""));
      expect([changed, report.exit, report.chains[0]?.kind]).toEqual([changed, 1, "altered"]);
      expect(report.chains[0]?.seq).toBeLessThanOrEqual(changed + 1);
    }
  });

  test("one event that is rewritten with a fitting hash is the one that is named", async () => {
    for (let changed = 0; changed < lines.length - 1; changed += 1) {
      const parsed = parse(changed);
      const { line } = formatLine(chain, parsed.seq, parsed.prev, '{"id":"evt_forged"}');
      const report = await withSegment(join_(lines.with(changed, line.trimEnd())));
      expect([changed, report.exit, report.chains[0]?.kind]).toEqual([changed, 1, "altered"]);
      expect(report.chains[0]?.seq).toBeLessThanOrEqual(changed + 1);
    }
  });
});

describe("the tail", () => {
  test("of a finished chain is missed wherever it is cut", { timeout: 60_000 }, async () => {
    for (const length of cuts(original)) {
      const report = await withSegment(original.subarray(0, length));
      if (report.exit !== 2) expect([length, report]).toEqual([length, "truncated"]);
    }
  });

  test("cut together with its checkpoints is found against an anchor, and without one the report says so", async () => {
    const first = signed.toString().split("\n")[0] ?? "";
    const { anchors } = parseAnchors(`${signed.toString()}\n`);
    const heads = parseAnchors(`${chain}:9:${parse(8).hash}\nnonsense\n`);
    expect(heads).toMatchObject({ anchors: [{ seq: 9 }], skipped: 1 });
    const seq = /"seq":(\d+)/.exec(first)?.[1];
    await writeFile(segment, join_(lines.slice(0, Number(seq))));
    await writeFile(checkpoints, `${first}\n`);
    expect(await verifyAt(place)).toMatchObject({ exit: 0, anchor: "no anchor" });
    expect(await verifyAt(place, { anchors })).toMatchObject({ exit: 2, verdict: "truncated", anchor: "external" });
    expect(await verifyAt(place, { anchors: heads.anchors })).toMatchObject({ exit: 2 });
    await writeFile(segment, original);
    await writeFile(checkpoints, signed);
    expect(await verifyAt(place, { anchors })).toMatchObject({ exit: 0, anchor: "external", chains: [{ anchor: "external" }] });
    expect(await verifyAt(place, { anchors: [{ chain, seq: 5, hash: "0".repeat(64) }] })).toMatchObject({
      exit: 1,
      chains: [{ kind: "altered" }],
    });
  });

  test("a whole chain that is gone is missed by its anchor", async () => {
    const aside = join(place.path, "aside");
    await rename(join(place.dir, chain), aside);
    expect(await verifyAt(place)).toMatchObject({ exit: 0, chains: [] });
    expect(await verifyAt(place, { anchors: [{ chain, seq: 9, hash: parse(8).hash }] })).toMatchObject({ exit: 2 });
    await rename(aside, join(place.dir, chain));
  });

  test("of an unfinished chain may be torn by a crash, and by nothing else", async () => {
    await using other = await logPlace();
    const log = await openAt(other, { limits: { checkpointEvents: 3 } });
    for (const id of ["a", "b", "c", "d"]) await log.append(change(id));
    const file = await onlyFile(other.dir, "0001.jsonl");
    const bytes = await readFile(file);
    const highest = Number(
      [...(await readFile(await onlyFile(other.dir, "checkpoints.jsonl"), "utf8")).matchAll(/"seq":(\d+)/g)].at(-1)?.[1],
    );
    await pretendReboot(other.dir);
    for (const length of cuts(bytes)) {
      await writeFile(file, bytes.subarray(0, length));
      const whole = bytes.subarray(0, length).toString().split("\n").length - 1;
      const expected = whole < highest ? 2 : bytes[length - 1] === 0x0a ? 0 : 3;
      expect([length, (await verifyAt(other)).exit]).toEqual([length, expected]);
    }
    await writeFile(file, Buffer.concat([bytes, Buffer.alloc(2000)]));
    expect(await verifyAt(other)).toMatchObject({ exit: 3 });
    // a changed last newline is not what a crash leaves
    await writeFile(file, Buffer.concat([bytes.subarray(0, -1), Buffer.from("x")]));
    expect(await verifyAt(other)).toMatchObject({ exit: 1, chains: [{ kind: "altered", seq: 5 }] });
    await writeFile(file, bytes);
    await log[Symbol.asyncDispose]();
  });
});

describe("segments and keys", () => {
  test("a segment that is gone is missing, or the tail is", async () => {
    await using other = await logPlace();
    const log = await openAt(other, { limits: { rotateBytes: 2500 } });
    for (let index = 0; index < 40; index += 1) await log.append(change(String(index)));
    await log[Symbol.asyncDispose]();
    const dir = join(other.dir, log.head().chain);
    const segments = (await readdir(dir)).filter((name) => name.startsWith("0")).sort();
    expect(segments.length).toBeGreaterThan(5);
    for (const [index, name] of segments.entries()) {
      await rename(join(dir, name), join(dir, "aside"));
      const report = await verifyAt(other);
      const isLast = index === segments.length - 1;
      expect([index, report.exit, report.chains[0]?.kind, report.chains[0]?.seq]).toEqual([
        index,
        isLast ? 2 : 1,
        "missing",
        index === 0 ? 1 : Number(name.slice(0, 16)),
      ]);
      await rename(join(dir, "aside"), join(dir, name));
    }
    const [one = "", two = ""] = segments;
    await rename(join(dir, one), join(dir, "aside"));
    await rename(join(dir, two), join(dir, one));
    await rename(join(dir, "aside"), join(dir, two));
    expect(await verifyAt(other)).toMatchObject({ exit: 1 });
  });

  test("a checkpoint line that is taken out, or another key's signature, is a bad signature", async () => {
    const all = signed.toString().split("\n").slice(0, -1);
    expect(all.length).toBeGreaterThan(2);
    for (let index = 0; index < all.length - 1; index += 1) {
      await writeFile(checkpoints, join_(all.toSpliced(index, 1)));
      expect(await verifyAt(place)).toMatchObject({ exit: 1, chains: [{ kind: "bad_signature" }] });
    }
    await writeFile(checkpoints, signed);
    const keys = trustedKeys([newSigner().privateKey]);
    expect(await verifyAt(place, { keys })).toMatchObject({
      exit: 1,
      chains: [{ kind: "bad_signature", detail: expect.stringContaining("not a trusted key") }],
    });
  });

  test("verification can begin later, and of one chain", async () => {
    expect(await verifyAt(place, { chain, fromSeq: 4 })).toMatchObject({ exit: 0 });
    expect(await verifyAt(place, { chain: "chn_000000000000000000000000" })).toMatchObject({ exit: 4, verdict: "unreadable" });
  });

  test("what cannot be read is not called tampered", async () => {
    expect(await verifyAt({ ...place, dir: join(place.path, "nowhere") })).toMatchObject({ exit: 4, verdict: "unreadable" });
    const copy = join(place.path, "copy");
    await cp(place.dir, copy, { recursive: true });
    const file = join(copy, chain, basename(segment));
    await rm(file);
    await mkdir(file);
    expect(await verifyAt({ ...place, dir: copy })).toMatchObject({ exit: 4 });
    await rm(file, { recursive: true });
    await copyFile(segment, file);
    await truncate(file, 0);
    expect(await verifyAt({ ...place, dir: copy })).toMatchObject({ exit: 2 });
  });
});

/** Every length around the ends of lines, and one in seven (all with AGENTKERNEL_LONG) in between. */
function cuts(bytes: Buffer): readonly number[] {
  const step = process.env["AGENTKERNEL_LONG"] ? 1 : 7;
  return Array.from({ length: bytes.length }, (_, length) => length).filter(
    (length) => length % step === 0 || bytes.subarray(Math.max(0, length - 2), length + 2).includes(0x0a),
  );
}

function parse(index: number): { seq: number; prev: string; hash: string; event: Event } {
  const line = lines[index] ?? "";
  const parsed = parseLine(Buffer.from(line), 0, Buffer.byteLength(line));
  if (parsed === undefined) throw new Error(`line ${index} is not ours`);
  return { seq: parsed.seq, prev: parsed.prev, hash: parsed.hash, event: JSON.parse(line.slice(parsed.eventStart, -1)) as Event };
}
