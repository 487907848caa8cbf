import type { UsageEntry } from "../schema/api.ts";
import { count, dollars } from "./output.ts";
import { type Column, table } from "./table.ts";

export type UsageRow = UsageEntry & { readonly key?: string };

/** The usage table people see: unknown is `–`, never zero. */
export function usageTable(rows: readonly UsageRow[], keyTitle: string, width?: number): string {
  const known = (row: UsageRow, value: number): string => (row.unmetered_requests === row.request_count ? "–" : count(value));
  const columns: Column<UsageRow>[] = [
    ...groupColumns(rows, keyTitle),
    { title: "REQUESTS", value: (row) => count(row.request_count), align: "right" },
    { title: "STREAMED", value: (row) => count(row.streaming_count), align: "right" },
    { title: "TOKENS IN", value: (row) => known(row, row.total_input_tokens), align: "right" },
    { title: "TOKENS OUT", value: (row) => known(row, row.total_output_tokens), align: "right" },
    { title: "CACHED", value: (row) => known(row, row.cache_read_tokens), align: "right" },
    { title: "COST", value: (row) => dollars(row.cost_usd), align: "right" },
  ];
  return table(rows, columns, width);
}

/** What rows are about: not twice, and not where a grouping says `*` of all of them. */
function groupColumns(rows: readonly UsageRow[], keyTitle: string): readonly Column<UsageRow>[] {
  const columns: readonly Column<UsageRow>[] = [
    { title: "PROVIDER", value: (row) => row.provider },
    { title: "MODEL", value: (row) => row.model, wraps: true },
  ];
  const telling = columns.filter(({ title, value }) => title !== keyTitle && rows.some((row) => value(row) !== "*"));
  return [{ title: keyTitle, value: (row) => row.key ?? "", wraps: true }, ...telling];
}
