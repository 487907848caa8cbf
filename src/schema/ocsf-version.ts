import { z } from "zod";

/** OCSF releases that events can be written in; the first is the one that the mapping is made for. */
export const OCSF_VERSIONS = ["1.8.0", "1.6.0", "1.3.0", "1.1.0"] as const;

export const ocsfVersion = z.enum(OCSF_VERSIONS);
export type OcsfVersion = z.infer<typeof ocsfVersion>;

export const NATIVE_OCSF_VERSION = OCSF_VERSIONS[0];

/** How an event is written for others: as it stands in the log, as the native audit record, or as events of an OCSF release. */
export type EventFormat = "event" | "native" | OcsfVersion;
