/** setTimeout(2) of Node takes 2^31-1 ms, some 25 days; a longer one fires at once, with a warning. */
const MAX_MS = 2 ** 31 - 1;

/** Calls `work` once after `ms`, however long that is; the returned function takes it back. */
export function startTimer(ms: number, work: () => void): () => void {
  let left = ms;
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    const part = Math.min(left, MAX_MS);
    left -= part;
    timer = setTimeout(() => (left > 0 ? arm() : work()), part);
  };
  arm();
  return () => clearTimeout(timer);
}
