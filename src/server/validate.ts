import type { z } from "zod";
import { AppError } from "../base/error.ts";
import { sayIssue } from "../schema/issue-words.ts";

/** issues named in one message; the rest is counted */
const SHOWN = 3;

/**
 * Checks input against its schema.
 * @throws AppError VALIDATION that names where in the input the fault is, never the value there
 */
export function parseInput<S extends z.ZodType>(schema: S, value: unknown, where: "path" | "query" | "body"): z.output<S> {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  if (where === "body" && value === undefined) throw new AppError("VALIDATION", "the body is empty: a JSON object is expected");
  const issues = parsed.error.issues;
  const shown = issues.slice(0, SHOWN).map((issue) => sentenceOf(issue, where));
  const more = issues.length > SHOWN ? ` (and ${issues.length - SHOWN} more)` : "";
  throw new AppError("VALIDATION", shown.join("; ").slice(0, 1_000) + more);
}

function sentenceOf(issue: z.core.$ZodIssue, where: string): string {
  const key = [where, ...issue.path.map(String)].join(".");
  // a schema's own message that is no continuation says by itself what is wanted
  if (!/^(?:is|has|must|Invalid|Too|Unrecognized) /.test(`${issue.message} `)) return `${key}: ${issue.message}`;
  const { message, remedy } = sayIssue(issue, "json");
  return `${key} ${message}${remedy === undefined ? "" : `: ${remedy}`}`;
}
