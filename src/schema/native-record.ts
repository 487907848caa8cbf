import { z } from "zod";
import { outcome } from "./event.ts";

/** The native audit record: what a stream with `ocsf_enabled = false` delivers (product.md, Exact meanings). */
export const nativeRecord = z.strictObject({
  /** RFC 3339, UTC, ms */
  time: z.string(),
  /** class, category and severity are OCSF's, of release 1.8.0 */
  class_uid: z.int(),
  category_uid: z.int(),
  severity_id: z.int(),
  /** `Class: Activity` */
  type_name: z.string(),
  /** the event's id, the key to drop duplicates by */
  uid: z.string(),
  /** `sandbox.create`, `egress.request`, `secret.update` … */
  action: z.string(),
  outcome,
  actor: z.strictObject({
    user_id: z.string(),
    email: z.string().optional(),
    org_id: z.string().optional(),
    ip_address: z.string().optional(),
  }),
  resource: z.strictObject({
    resource_type: z.string(),
    resource_id: z.string(),
    /** every other field of the event */
    attributes: z.record(z.string(), z.unknown()),
  }),
  /** the policy that decided, where one did */
  policy: z.strictObject({ policy_id: z.string(), policy_name: z.string().optional(), policy_version: z.int().nonnegative() }).optional(),
  metadata: z.strictObject({ product_name: z.string(), vendor_name: z.string(), product_version: z.string(), hostname: z.string() }),
});
export type NativeRecord = z.infer<typeof nativeRecord>;
