/**
 * `npm run bench`: measures the program and what it is held against, and writes bench/results/ and docs/benchmarks.md.
 *
 *     npm run bench                          everything, at most 8 minutes
 *     npm run bench -- --quick               every path with few samples; no figures worth keeping
 *     npm run bench -- --only gateway        one section (several: comma)
 *     npm run bench -- --out DIR             writes there instead of into the checkout
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { auditLossSection } from "./audit-loss-section.ts";
import { commandSection } from "./command-section.ts";
import type { Bench, Section } from "./context.ts";
import { deliverySection } from "./delivery-section.ts";
import { eventLogSection } from "./event-log-section.ts";
import type { Figure } from "./figures.ts";
import { gatewaySection } from "./gateway-section.ts";
import { hookSection } from "./hook-section.ts";
import { describeMachine } from "./machine.ts";
import { type Failure, type Results, toMarkdown } from "./report.ts";
import { sandboxSection } from "./sandbox-section.ts";
import { serverSection } from "./server-section.ts";
import { streamSection } from "./stream-section.ts";

const SECTIONS: readonly Section[] = [
  sandboxSection,
  commandSection,
  serverSection,
  gatewaySection,
  streamSection,
  eventLogSection,
  auditLossSection,
  deliverySection,
  hookSection,
];
const root = fileURLToPath(new URL("../../", import.meta.url));

const { values: flags } = parseArgs({ options: { quick: { type: "boolean" }, only: { type: "string" }, out: { type: "string" } } });
const wanted = flags.only?.split(",");
const unknown = wanted?.find((name) => !SECTIONS.some((section) => section.name === name));
if (unknown !== undefined) throw new Error(`there is no section ${unknown}: ${SECTIONS.map(({ name }) => name).join(", ")}`);

const say = (line: string): void => void process.stderr.write(`bench: ${line}\n`);
const isQuick = flags.quick === true;
const startedAt = performance.now();
const machine = describeMachine();
const figures: Figure[] = [];
const failures: Failure[] = [];

// children end with the channel to them; what they wrote ends here
let dir: string | undefined;
const removeFolder = (): void => {
  if (dir !== undefined) rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
};
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    removeFolder();
    process.exit(130);
  });
}

for (const section of SECTIONS.filter(({ name }) => wanted?.includes(name) ?? true)) {
  dir = mkdtempSync(join(tmpdir(), "agentkernel-bench-"));
  chmodSync(dir, 0o711);
  const bench: Bench = { isQuick, dir, choose: (full, quick) => (isQuick ? quick : full), say };
  try {
    figures.push(...(await section.run(bench)));
  } catch (error) {
    failures.push({ section: section.name, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    say(`${section.name} failed: ${failures.at(-1)?.error}`);
  } finally {
    removeFolder();
  }
}

const results: Results = {
  schema_version: 1,
  date: new Date().toISOString().slice(0, 10),
  is_quick: isQuick,
  seconds: (performance.now() - startedAt) / 1000,
  machine,
  figures,
  failures,
};
// part of the figures must not replace the page
const isWhole = !isQuick && wanted === undefined;
const out = flags.out ?? (isWhole ? root : undefined);
const markdown = toMarkdown(results);
if (out === undefined) process.stdout.write(markdown);
else {
  const [json, page] = [
    join(out, "bench", "results", `${process.platform}-${process.arch}-${machine.cores}-cores.json`),
    join(out, "docs", "benchmarks.md"),
  ];
  for (const file of [json, page]) mkdirSync(dirname(file), { recursive: true });
  writeFileSync(
    json,
    `${JSON.stringify(results, (_, value: unknown) => (typeof value === "number" ? Math.round(value * 1000) / 1000 : value), 1)}\n`,
  );
  writeFileSync(page, markdown);
  say(`wrote ${json} and ${page}`);
}
say(`${figures.length} figures, ${failures.length} sections failed, ${Math.round(results.seconds)} s`);
process.exitCode = failures.length === 0 ? 0 : 1;
