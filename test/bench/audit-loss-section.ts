import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { change, idsIn, onlyFile, openAt, verifyAt } from "../support/event-log.ts";
import type { Bench, Section } from "./context.ts";
import type { Figure } from "./figures.ts";

const SECTION = "event log, kills and tampering";
const APPENDER = fileURLToPath(new URL("../support/event-log-appender.ts", import.meta.url));

type Place = { readonly dir: string; readonly keyFile: string };

export const auditLossSection: Section = {
  name: "audit-loss",
  run: async (bench) => [await kills(bench), ...(await tampering(bench))],
};

function placeIn(bench: Bench, name: string): Place {
  const home = join(bench.dir, name);
  mkdirSync(home, { mode: 0o700 });
  return { dir: join(home, "events"), keyFile: join(home, "audit.key") };
}

/** Appenders under load, killed at random points: what they said was acknowledged has to be there. */
async function kills(bench: Bench): Promise<Figure> {
  const rounds = bench.choose(100, 4);
  bench.say(`event log: ${rounds} kills`);
  const place = placeIn(bench, "kills");
  const acknowledged: string[] = [];
  for (let round = 0; round < rounds; round += 2) {
    const ids = await Promise.all([killed(place, Math.random() * 150), killed(place, Math.random() * 150)]);
    acknowledged.push(...ids.flat());
  }
  // finishes the chains of the last ones
  await (await openAt(place))[Symbol.asyncDispose]();
  const report = await verifyAt(place);
  if (report.exit !== 0) throw new Error(`after the kills the log is ${report.verdict}: ${report.detail}`);
  const held = await idsIn(place.dir);
  return {
    section: SECTION,
    name: `acknowledged events lost in ${rounds} kills`,
    unit: "events",
    ours: { value: acknowledged.filter((id) => !held.has(id)).length },
    samples: acknowledged.length,
    target: { of: "value", atMost: 0 },
    how: "a process that appends as fast as it can over rotations gets SIGKILL up to 150 ms after its first acknowledgement, two at a time on one directory; then the log is verified and every acknowledged id looked for. 500 kills and a model of a disk that forgets what was not synced: `AGENTKERNEL_LONG=1` with the tests `event-log-kill` and `event-log-power`",
  };
}

async function killed({ dir, keyFile }: Place, afterMs: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, [APPENDER, dir, keyFile], { stdio: ["ignore", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  await Promise.race([new Promise((resolve) => child.stdout.once("data", resolve)), closed]);
  await delay(afterMs);
  child.kill("SIGKILL");
  await closed;
  const text = Buffer.concat(chunks).toString();
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((id) => id !== "");
}

type Change = { readonly bytes: Buffer; readonly anchors?: readonly string[] };

/** Every kind of change to a finished log; found means that the verdict is the right one. */
async function tampering(bench: Bench): Promise<readonly Figure[]> {
  const place = placeIn(bench, "tampering");
  const log = await openAt(place, { limits: { checkpointEvents: 3 } });
  for (const name of ["a", "b", "c", "d", "e", "f", "g"]) await log.append(change(name));
  const { chain } = log.head();
  await log[Symbol.asyncDispose]();
  const file = await onlyFile(place.dir, "0001.jsonl");
  const checkpoints = await onlyFile(place.dir, "checkpoints.jsonl");
  const [original, signed] = [await readFile(file), await readFile(checkpoints)];
  const lines = original.toString().trimEnd().split("\n");
  const whole = await verifyAt(place);
  const anchor = { chain, seq: whole.chains[0]?.last.seq ?? 0, hash: whole.chains[0]?.last.hash ?? "" };
  const textOf = (parts: readonly string[]): Buffer => Buffer.from(parts.map((line) => `${line}\n`).join(""));
  const step = bench.choose(1, 97);
  const bits = [...original.keys()].filter((at) => at % step === 0);
  const kinds: readonly {
    readonly name: string;
    readonly exit: readonly number[];
    readonly cuts?: true;
    readonly changes: readonly Change[];
  }[] = [
    {
      name: "one bit of every byte changed",
      exit: [1],
      changes: bits.map((at) => {
        const bytes = Buffer.from(original);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
        return { bytes };
      }),
    },
    { name: "a line deleted", exit: [1], changes: lines.slice(0, -1).map((_, at) => ({ bytes: textOf(lines.toSpliced(at, 1)) })) },
    {
      name: "two lines swapped",
      exit: [1],
      changes: lines.slice(1).map((line, at) => ({ bytes: textOf(lines.toSpliced(at, 2, line, lines[at] ?? "")) })),
    },
    { name: "a line inserted", exit: [1], changes: lines.map((line, at) => ({ bytes: textOf(lines.toSpliced(at, 0, line)) })) },
    {
      name: "the tail cut with its checkpoints, against an anchor",
      exit: [2],
      cuts: true,
      changes: lines.slice(1).map((_, at) => ({ bytes: textOf(lines.slice(0, at + 1)) })),
    },
  ];
  const figures: Figure[] = [];
  for (const { name, exit, cuts, changes } of kinds) {
    bench.say(`event log: ${name}`);
    let found = 0;
    for (const { bytes } of changes) {
      await writeFile(file, bytes);
      if (cuts === true) await writeFile(checkpoints, "");
      const report = await verifyAt(place, cuts === true ? { anchors: [anchor] } : {});
      if (exit.includes(report.exit)) found += 1;
      if (cuts === true) await writeFile(checkpoints, signed);
    }
    await writeFile(file, original);
    figures.push({
      section: SECTION,
      name: `found: ${name}`,
      unit: "%",
      ours: { value: (100 * found) / changes.length },
      samples: changes.length,
      target: { of: "value", atLeast: 100 },
      how: "each change is made alone to a finished log of nine events, which is then verified; found: the exit code is that of tampering (1), or of truncation (2) for the cut tail",
    });
  }
  if ((await verifyAt(place)).exit !== 0) throw new Error("the log is not whole any more after it was put back");
  return figures;
}
