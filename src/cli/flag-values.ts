import type { z } from "zod";
import { AppError } from "../base/error.ts";
import { sayIssue } from "../schema/issue-words.ts";

/** Values of flags, checked where they were written, so that a mistake is told in the words of the command line. */

export function oneOf<const T extends string>(flag: string, value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw new AppError("VALIDATION", `${flag} ${value}: unknown`, { hint: `one of ${known.join(", ")}` });
  return found;
}

export function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new AppError("VALIDATION", `${flag} ${text} is not a number above 0`);
  return value;
}

export function wholeNumber(
  flag: string,
  text: string,
  { min, max = Number.MAX_SAFE_INTEGER }: { readonly min: number; readonly max?: number },
): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  throw new AppError("VALIDATION", `${flag} ${text} is not a whole number ${range}`);
}

/** A TCP port; 0 only where one is picked for it. */
export function portOf(flag: string, text: string, { min = 1 }: { readonly min?: 0 | 1 } = {}): number {
  return wholeNumber(flag, text, { min, max: 65_535 });
}

/**
 * Holds what flags say against the schema of the request that they make.
 * @param flagOf the flag of a place in the request, as `["target", "url"]`
 * @throws VALIDATION naming the flag
 */
export function checkFlags(schema: z.ZodType, request: unknown, flagOf: (path: readonly PropertyKey[]) => string, hint?: string): void {
  const checked = schema.safeParse(request, { reportInput: true });
  const issue = checked.error?.issues[0];
  if (issue === undefined) return;
  const { message, remedy } = sayIssue(issue, "json");
  const because = remedy ?? hint;
  throw new AppError("VALIDATION", `${flagOf(issue.path)} ${message}`, because === undefined ? {} : { hint: because });
}
