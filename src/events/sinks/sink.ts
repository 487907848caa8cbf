import type { Event } from "../../schema/event.ts";

/** One event of a batch, with what its destination gets for it: mostly one object, for a denial in OCSF a finding as well. */
export type SinkItem = {
  readonly id: string;
  readonly chain: string;
  readonly seq: number;
  readonly event: Event;
  readonly bodies: readonly object[];
};

/** A position of the chain that is on disk, for a receiver to remember: whoever cuts the log later is found by it. */
export type ChainMark = {
  /** `chain:seq:hash` */
  readonly head: string;
  /** the signed line that says so; absent before the chain's first checkpoint */
  readonly checkpoint?: string;
};

/** Events of one chain, in order. */
export type SinkBatch = { readonly items: readonly SinkItem[]; readonly mark: ChainMark | undefined };

/** An event that the destination will never take. `index` is its place in the batch. */
export type Poison = { readonly index: number; readonly reason: string };

export type SinkAnswer =
  /** the destination gave its own proof for every event */
  | { readonly kind: "delivered" }
  /** it is the destination's or the network's fault, and may pass */
  | { readonly kind: "retry"; readonly reason: string; readonly retryAfterMs?: number }
  /** it will not talk to us until somebody changes something: 401, 403, 410 */
  | { readonly kind: "paused"; readonly reason: string }
  /** it is an event's fault. Without `poison` it is not known whose, and the batch has to be taken apart */
  | { readonly kind: "rejected"; readonly reason: string; readonly poison?: readonly Poison[]; readonly rest: "delivered" | "again" };

/** A way to one destination. Each says in its docstring what success means there. */
export interface Sink extends AsyncDisposable {
  /** One try. Never throws for what the other side does; ends by its own deadline or when the signal says so. */
  send(batch: SinkBatch, signal: AbortSignal): Promise<SinkAnswer>;
}

export const DELIVERED: SinkAnswer = { kind: "delivered" };

export type Flat = { readonly body: object; readonly index: number; readonly item: SinkItem };

/** Every object of a batch with the place of the event it belongs to. */
export function flatten(items: readonly SinkItem[]): readonly Flat[] {
  return items.flatMap((item, index) => item.bodies.map((body) => ({ body, index, item })));
}
