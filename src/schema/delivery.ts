import { z } from "zod";
import { event } from "./event.ts";

/** A stream or hook as operators see it. */
export const streamStatus = z.strictObject({
  name: z.string(),
  type: z.string(),
  /** `elsewhere`: another process of this state directory delivers, and only it knows */
  state: z.enum(["delivering", "retrying", "failing", "paused", "stopped", "elsewhere"]),
  /** events that were not received yet */
  lag: z.int().nonnegative(),
  oldest_unacked_age_s: z.number().nonnegative(),
  /** events since this process delivers */
  delivered: z.int().nonnegative(),
  retries: z.int().nonnegative(),
  dead_letters: z.int().nonnegative(),
  /** events that retention removed before they were received */
  dropped: z.int().nonnegative(),
  last_success: z.string().nullable(),
  last_error: z.string().nullable(),
});
export type StreamStatus = z.infer<typeof streamStatus>;

/** An event that its destination will never take as it is. */
export const deadLetter = z.strictObject({
  time: z.string(),
  reason: z.string(),
  chain: z.string(),
  seq: z.int().positive(),
  event,
});

export const auditReplayRequest = z.strictObject({
  /** name of a stream */
  sink: z.string().min(1).max(80),
  /** what to send again: the dead letters, or everything since a time (`24h`, or RFC 3339); neither: a pause ends */
  dead: z.boolean().optional(),
  since: z.string().max(64).optional(),
  /** removes the dead letters instead */
  purge: z.boolean().optional(),
});

export const chainHead = z.strictObject({
  chain: z.string(),
  seq: z.int().nonnegative(),
  hash: z.string(),
  /** RFC 3339 of the newest signed checkpoint; null: there is none yet */
  checkpoint: z.string().nullable(),
  /** a process writes it */
  open: z.boolean(),
});
export type ChainHeadInfo = z.infer<typeof chainHead>;
