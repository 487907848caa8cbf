import type { z } from "zod";
import { AppError } from "../base/error.ts";

/** issues named in one message; the rest is counted */
const SHOWN = 3;

/**
 * Checks input against its schema.
 * @throws AppError VALIDATION that names where in the input the fault is, never the value there
 */
export function parseInput<S extends z.ZodType>(schema: S, value: unknown, where: "path" | "query" | "body"): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  if (where === "body" && value === undefined) throw new AppError("VALIDATION", "body: a JSON object is expected");
  const issues = parsed.error.issues;
  const shown = issues.slice(0, SHOWN).map((issue) => `${[where, ...issue.path.map(String)].join(".")}: ${issue.message}`);
  const more = issues.length > SHOWN ? ` (and ${issues.length - SHOWN} more)` : "";
  throw new AppError("VALIDATION", shown.join("; ").slice(0, 1_000) + more);
}
