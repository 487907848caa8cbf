import { parseDuration } from "../base/units.ts";

/**
 * Where in time an amount is counted. Sums are kept in buckets, so that a window over a month of calls is a few rows and not every
 * call.
 */
export type WindowAt = {
  /** bucket that is added to now, ms since 1970 */
  readonly bucket: number;
  /** first bucket that counts */
  readonly since: number;
  /** names the period that thresholds are reported once for; 0 where periods do not begin anew */
  readonly period: number;
  /** when everything is forgotten at once; null: never, or bit by bit */
  readonly endsAt: number | null;
};

const DAY = 86_400_000;
/** A sliding window is kept in so many buckets; an amount counts until its whole bucket is outside, so never too short. */
const BUCKETS = 256;

/** @throws for text that is no window; the schema lets none through */
export function windowAt(window: string, now: number): WindowAt {
  const at = new Date(now);
  const day = Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate());
  switch (window) {
    case "total":
      return { bucket: 0, since: 0, period: 0, endsAt: null };
    case "day":
      return calendar(day, day + DAY);
    case "week": {
      // ISO 8601: weeks begin on Monday
      const monday = day - ((at.getUTCDay() + 6) % 7) * DAY;
      return calendar(monday, monday + 7 * DAY);
    }
    case "month":
      return calendar(Date.UTC(at.getUTCFullYear(), at.getUTCMonth()), Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1));
    default: {
      const length = parseDuration(window);
      const grain = Math.max(1000, Math.ceil(length / BUCKETS));
      return { bucket: Math.floor(now / grain) * grain, since: now - length - grain + 1, period: 0, endsAt: null };
    }
  }
}

function calendar(start: number, end: number): WindowAt {
  return { bucket: start, since: start, period: start, endsAt: end };
}
