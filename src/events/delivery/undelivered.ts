import { type Positions, readPositions } from "./cursor-file.ts";

/** A sink that has not had all events of a chain up to some number. */
export type Lagging = { readonly sink: string; readonly fromSeq: number };

/** Who has not had the events of a chain up to a number, as the positions on disk say. */
export type FindLagging = (chain: string, lastSeq: number) => readonly Lagging[];

/** Reads the positions of these sinks, whichever process delivers to them. One that has none has had nothing. */
export async function readLagging(dir: string, sinks: readonly string[]): Promise<FindLagging> {
  const positions: { readonly sink: string; readonly at: Positions | undefined }[] = [];
  for (const sink of sinks) positions.push({ sink, at: await readPositions(dir, sink) });
  return (chain, lastSeq) =>
    positions.flatMap(({ sink, at }): Lagging[] => {
      if (at?.finished.has(chain) === true) return [];
      const seq = at?.chains.get(chain)?.seq ?? 0;
      return seq >= lastSeq ? [] : [{ sink, fromSeq: seq + 1 }];
    });
}
