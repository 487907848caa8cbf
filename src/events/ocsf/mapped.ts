import type { Attributes } from "./ocsf-event.ts";

/** What one kind of event adds to what all have. */
export type Mapped = {
  /** one sentence for people */
  readonly message: string;
  /** `status_detail` */
  readonly detail: string | undefined;
  /** `status_code`: HTTP status or our error code */
  readonly code?: string | number | null | undefined;
  readonly durationMs?: number | undefined;
  /** profiles beyond those of every event */
  readonly profiles?: readonly string[];
  readonly attributes: Attributes;
  /** what OCSF has no place for; undefined and null are left out */
  readonly unmapped?: Readonly<Record<string, unknown>>;
};
