/** Time as an argument, so that tests own it. */
export interface Clock {
  /** wall clock, ms since 1970 */
  now(): number;
  /** monotonic, ms with fractions */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** RFC 3339 in UTC with milliseconds. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString();
}
