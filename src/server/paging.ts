import { z } from "zod";
import { AppError } from "../base/error.ts";
import { Page } from "./route.ts";

export const pageQuery = {
  /** entries of one page; all, when absent */
  limit: z.coerce.number().int().min(1).max(1_000).optional(),
  /** `next_cursor` of the page before */
  cursor: z.string().max(512).optional(),
};

/** One page of a list that is ordered by a unique key; the cursor holds the last key, so that removals do not shift pages. */
export function pageOf<T>(
  items: readonly T[],
  query: { readonly limit?: number | undefined; readonly cursor?: string | undefined },
  keyOf: (item: T) => string,
): Page<T> {
  const sorted = [...items].sort((a, b) => compare(keyOf(a), keyOf(b)));
  const after = query.cursor === undefined ? undefined : decode(query.cursor);
  const rest = after === undefined ? sorted : sorted.filter((item) => compare(keyOf(item), after) > 0);
  if (query.limit === undefined || rest.length <= query.limit) return new Page(rest);
  const page = rest.slice(0, query.limit);
  const last = page.at(-1);
  return new Page(page, last === undefined ? undefined : Buffer.from(keyOf(last), "utf8").toString("base64url"));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function decode(cursor: string): string {
  const key = Buffer.from(cursor, "base64url").toString("utf8");
  if (key === "" || Buffer.from(key, "utf8").toString("base64url") !== cursor)
    throw new AppError("VALIDATION", "query.cursor: not a cursor of this list");
  return key;
}
