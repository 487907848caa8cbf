export type BackoffLimits = {
  /** ms of the first delay's upper end */
  readonly baseMs: number;
  /** ms that no delay exceeds */
  readonly maxMs: number;
  /** ms that a receiver may ask for at most: a `Retry-After` of a year must not end the delivery */
  readonly retryAfterMaxMs: number;
};

/** Full jitter: anywhere between nothing and the doubling bound, so that receivers coming back are not met by everybody at once. */
export function backoffMs(tries: number, limits: BackoffLimits, random: () => number): number {
  return random() * Math.min(limits.maxMs, limits.baseMs * 2 ** Math.min(tries - 1, 30));
}

/** The delay before the next try: what the receiver asked for, within bounds, else the jitter. */
export function nextDelayMs(tries: number, retryAfterMs: number | undefined, limits: BackoffLimits, random: () => number): number {
  const jitter = backoffMs(tries, limits, random);
  return retryAfterMs === undefined ? jitter : Math.max(Math.min(retryAfterMs, limits.retryAfterMaxMs), Math.min(jitter, limits.baseMs));
}
