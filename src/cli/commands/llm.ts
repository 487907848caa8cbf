import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "../../base/error.ts";
import type { Client } from "../../client/client.ts";
import { connect } from "../connect.ts";
import { jsonText } from "../output.ts";
import type { Cli } from "../cli.ts";
import { untilStopped } from "../until-stopped.ts";
import { type UsageRow, usageTable } from "../usage-table.ts";

type UsageFlags = {
  readonly sandbox?: string;
  readonly since?: string;
  readonly by?: string;
  readonly all?: boolean;
  readonly json?: boolean;
  readonly csv?: boolean;
  readonly watch?: boolean;
};

const KEYS = ["model", "provider", "sandbox", "day", "label"] as const;

/** ms between looks while watching */
const WATCH_MS = 1_000;

/** `agentkernel llm usage` */
export async function usage(cli: Cli, flags: UsageFlags): Promise<number> {
  const by = KEYS.find((key) => key === flags.by);
  if (flags.by !== undefined && by === undefined)
    throw new AppError("VALIDATION", `--by ${flags.by}: unknown`, { hint: `one of ${KEYS.join(", ")}` });
  if (by !== undefined && flags.sandbox !== undefined) throw new AppError("VALIDATION", "give --by or --sandbox, not both");
  if (flags.json === true && flags.csv === true) throw new AppError("VALIDATION", "give --json or --csv, not both");
  using client = await connect(cli);
  const print = (text: string | undefined): void =>
    text === undefined ? cli.output.note("no model calls recorded") : cli.output.out(text);
  const first = await textOf(cli, client, by, flags);
  print(first);
  if (flags.watch !== true) return 0;
  const stop = untilStopped(cli);
  for (let shown = first; ; ) {
    await delay(WATCH_MS, undefined, { signal: stop }).catch(() => "stopped: the next line sees it");
    if (stop.aborted) return 0;
    const text = await textOf(cli, client, by, flags);
    if (text !== shown) print(text);
    shown = text;
  }
}

/** What there is to print; undefined: no calls, which people are told in words. */
async function textOf(cli: Cli, client: Client, by: (typeof KEYS)[number] | undefined, flags: UsageFlags): Promise<string | undefined> {
  const query = {
    ...(flags.since === undefined ? {} : { since: flags.since }),
    ...(flags.all === true ? { all: true } : {}),
  };
  if (by !== undefined) {
    const rows = await client.usageBy(by, query);
    return flags.json === true ? jsonText(rows, 2) : shownRows(cli, rows, by.toUpperCase(), flags.csv === true);
  }
  const bySandbox =
    flags.sandbox === undefined ? await client.usage(query) : { [flags.sandbox]: await client.usageOf(flags.sandbox, query) };
  if (flags.json === true) return jsonText(bySandbox, 2);
  const rows = Object.entries(bySandbox).flatMap(([sandbox, entries]) => entries.map((entry) => ({ ...entry, key: sandbox })));
  return shownRows(cli, rows, "SANDBOX", flags.csv === true);
}

function shownRows(cli: Cli, rows: readonly UsageRow[], keyTitle: string, asCsv: boolean): string | undefined {
  if (asCsv) return csv(rows, keyTitle.toLowerCase());
  return rows.length === 0 ? undefined : usageTable(rows, keyTitle, cli.output.width);
}

const CSV_COLUMNS = [
  "provider",
  "model",
  "request_count",
  "streaming_count",
  "error_count",
  "unmetered_requests",
  "total_input_tokens",
  "total_output_tokens",
  "total_tokens",
  "cache_read_tokens",
  "cache_write_tokens",
  "reasoning_tokens",
  "cost_usd",
  "unpriced_requests",
  "last_request",
] as const;

/** RFC 4180; a value that a spreadsheet would take for a formula gets a leading apostrophe. */
function csv(rows: readonly UsageRow[], keyTitle: string): string {
  const cell = (value: string | number | null | undefined): string => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  // a grouping by provider or model is that column: a name that stands twice is one that programs lose
  const columns = CSV_COLUMNS.filter((name) => name !== keyTitle);
  const lines = rows.map((row) => [row.key, ...columns.map((name) => row[name])].map(cell).join(","));
  return [[keyTitle, ...columns].join(","), ...lines].join("\r\n");
}
