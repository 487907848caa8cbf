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
  let fault: { readonly error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    try {
      while (fault === undefined) {
        const next = await left.next();
        if (next.done === true || fault !== undefined) return;
        await work(next.value);
      }
    } catch (error) {
      fault ??= { error };
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  await left.return?.();
  if (fault !== undefined) throw (fault as { readonly error: unknown }).error;
}
