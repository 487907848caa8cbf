import { AppError } from "./error.ts";

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** a century: past it a date overflows somewhere */
const MAX_MS = 100 * 365 * UNITS_MS.d;

/**
 * `90s`, `15m`, `2h`, `7d`, `1h30m` in ms.
 * @throws AppError VALIDATION
 */
export function parseDuration(text: string): number {
  let ms = 0;
  let rest = text;
  while (rest !== "") {
    const part = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)/.exec(rest);
    if (part === null) break;
    ms += Number(part[1]) * UNITS_MS[part[2] as keyof typeof UNITS_MS];
    rest = rest.slice(part[0].length);
  }
  if (text === "" || rest !== "") {
    throw new AppError("VALIDATION", `${JSON.stringify(text.slice(0, 40))} is not a duration`, { hint: "write it as 90s, 15m, 2h or 7d" });
  }
  if (ms > MAX_MS) throw new AppError("VALIDATION", `${text} is longer than a century`);
  return Math.round(ms);
}

/** In the largest unit that divides it, so that `parseDuration` reads the same number back: 90000 is `90s`, 7200000 is `2h`. */
export function formatDuration(ms: number): string {
  const [name, unit] = Object.entries(UNITS_MS).findLast(([, length]) => ms >= length && ms % length === 0) ?? ["ms", 1];
  return `${ms / unit}${name}`;
}

/**
 * A point in time in ms since 1970: RFC 3339, or a duration back from now.
 * @throws AppError VALIDATION
 */
export function parseSince(text: string, nowMs: number): number {
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    const at = Date.parse(text);
    if (!Number.isNaN(at)) return at;
    throw new AppError("VALIDATION", `${JSON.stringify(text.slice(0, 40))} is not a time`, { hint: "write it as 2026-01-31T12:00:00Z" });
  }
  return nowMs - parseDuration(text);
}
