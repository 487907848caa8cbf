import { AppError } from "../../base/error.ts";
import { connect } from "../connect.ts";
import type { Cli } from "../cli.ts";
import { type UsageRow, usageTable } from "../usage-table.ts";

type UsageFlags = {
  readonly sandbox?: string;
  readonly since?: string;
  readonly by?: string;
  readonly all?: boolean;
  readonly json?: boolean;
  readonly csv?: boolean;
};

const KEYS = ["model", "provider", "sandbox", "day"] as const;

/** `agentkernel llm usage` */
export async function usage(cli: Cli, flags: UsageFlags): Promise<number> {
  const by = KEYS.find((key) => key === flags.by);
  if (flags.by !== undefined && by === undefined)
    throw new AppError("VALIDATION", `--by ${flags.by}: unknown`, { hint: `one of ${KEYS.join(", ")}` });
  using client = await connect(cli);
  const query = {
    ...(flags.since === undefined ? {} : { since: flags.since }),
    ...(flags.all === true ? { all: true } : {}),
  };
  if (by !== undefined) {
    if (flags.sandbox !== undefined) throw new AppError("VALIDATION", "give --by or --sandbox, not both");
    const rows = await client.usageBy(by, query);
    if (flags.json === true) cli.output.json(rows);
    else show(cli, rows, by.toUpperCase(), flags.csv === true);
    return 0;
  }
  const bySandbox =
    flags.sandbox === undefined ? await client.usage(query) : { [flags.sandbox]: await client.usageOf(flags.sandbox, query) };
  if (flags.json === true) cli.output.json(bySandbox);
  else {
    const rows = Object.entries(bySandbox).flatMap(([sandbox, entries]) => entries.map((entry) => ({ ...entry, key: sandbox })));
    show(cli, rows, "SANDBOX", flags.csv === true);
  }
  return 0;
}

function show(cli: Cli, rows: readonly UsageRow[], keyTitle: string, asCsv: boolean): void {
  if (asCsv) cli.output.out(csv(rows, keyTitle.toLowerCase()));
  else if (rows.length === 0) cli.output.note("no model calls recorded");
  else cli.output.out(usageTable(rows, keyTitle));
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
  const lines = rows.map((row) => [row.key, ...CSV_COLUMNS.map((name) => row[name])].map(cell).join(","));
  return [[keyTitle, ...CSV_COLUMNS].join(","), ...lines].join("\r\n");
}
