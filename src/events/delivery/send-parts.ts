import type { Poison, SinkAnswer } from "../sinks/sink.ts";

export type Part<T> = readonly T[];

/** What `send` gives: an answer that settles the part, or undefined when delivery was ended meanwhile. */
export type SendPart<T> = (part: Part<T>) => Promise<Exclude<SinkAnswer, { kind: "retry" | "paused" }> | undefined>;

export type PartHandlers<T> = {
  readonly send: SendPart<T>;
  /** these will never be taken; resolves when that is recorded */
  readonly bury: (dead: readonly { readonly item: T; readonly reason: string }[]) => Promise<void>;
  /** everything up to and with this item is settled */
  readonly settled: (last: T) => void;
};

/**
 * Sends a batch; when it is rejected for an event that is not named, halves it until that event stands alone. The order of the
 * items is kept throughout. False: delivery was ended, and what was not `settled` comes again.
 */
export async function sendParts<T>(batch: Part<T>, { send, bury, settled }: PartHandlers<T>): Promise<boolean> {
  // the next part to send is the last
  const parts: Part<T>[] = [batch];
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    const last = part.at(-1);
    if (last === undefined) continue;
    const answer = await send(part);
    if (answer === undefined) return false;
    if (answer.kind === "delivered") {
      settled(last);
      continue;
    }
    const poison = answer.poison ?? (part.length === 1 ? [{ index: 0, reason: answer.reason }] : undefined);
    if (poison === undefined) {
      const half = Math.ceil(part.length / 2);
      parts.push(part.slice(half), part.slice(0, half));
      continue;
    }
    const dead = reasons(poison);
    await bury([...dead].flatMap(([index, reason]) => (part[index] === undefined ? [] : [{ item: part[index], reason }])));
    const rest = part.filter((_, index) => !dead.has(index));
    if (answer.rest === "delivered" || rest.length === 0) settled(last);
    else parts.push(rest);
  }
  return true;
}

function reasons(poison: readonly Poison[]): ReadonlyMap<number, string> {
  return new Map(poison.map(({ index, reason }) => [index, reason]));
}
