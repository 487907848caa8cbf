/**
 * `work` for every item, so many at a time, in order of their start. Resolves or rejects when nothing is under way any more: whoever
 * waits may then close what the work used.
 */
export async function inParallel<T>(
  items: Iterable<T> | AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  const faults: unknown[] = [];
  const worker = async (): Promise<void> => {
    try {
      while (faults.length === 0) {
        const next = await left.next();
        if (next.done === true || faults.length > 0) return;
        await work(next.value);
      }
    } catch (error) {
      faults.push(error);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  await left.return?.();
  if (faults.length > 0) throw faults[0];
}
