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

export type DeadLetterInfo = z.infer<typeof deadLetter>;

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

export const auditVerifyRequest = z.strictObject({
  /** a number of every chain, or `chain:number`: begins at the segment that holds it */
  from: z.string().max(64).optional(),
  /** public key in PEM whose signatures count; absent: this installation's */
  key: z.string().max(16_384).optional(),
  /** checkpoint lines and `chain:seq:hash` lines that were kept elsewhere */
  anchors: z.array(z.string().max(4_096)).max(100_000).optional(),
});
export type AuditVerifyRequest = z.infer<typeof auditVerifyRequest>;

const verdict = z.enum(["intact", "tampered", "truncated", "crash_tail", "unreadable"]);

export const auditReport = z.strictObject({
  /** exit code of `audit verify`: 0 intact, 1 tampered, 2 truncated, 3 crash tail, 4 unreadable */
  exit: z.int().min(0).max(4),
  verdict,
  events: z.int(),
  bytes: z.int(),
  /** `no anchor`: a tail that was cut together with its checkpoints would not be found */
  anchor: z.enum(["external", "no anchor"]),
  /** why nothing could be read */
  detail: z.string().optional(),
  chains: z.array(
    z.strictObject({
      chain: z.string(),
      verdict,
      kind: z.string().optional(),
      /** first number that is wrong or gone */
      seq: z.int().optional(),
      segment: z.string().optional(),
      detail: z.string().optional(),
      /** first number that is still held */
      first_seq: z.int(),
      last_seq: z.int(),
      last_hash: z.string(),
      events: z.int(),
      bytes: z.int(),
      checkpoints: z.int(),
      signatures: z.enum(["checked", "unchecked"]),
      /** a living process writes it */
      open: z.boolean(),
      /** what a cut tail would be found against */
      anchor: z.enum(["external", "checkpoint", "none"]),
    }),
  ),
});
export type AuditReport = z.infer<typeof auditReport>;

/** How an export of the log is written. */
export const exportFormat = z.enum(["event", "native", "ocsf"]);
