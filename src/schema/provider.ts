import { z } from "zod";
import { PROVIDER_IDS } from "./provider-ids.ts";

export const providerId = z.enum(PROVIDER_IDS);
export type ProviderId = z.infer<typeof providerId>;

/** How usage became known: the provider said it, said part of it, we estimated it, or nobody knows. */
export const usageSource = z.enum(["reported", "partial", "estimated", "none"]);
export type UsageSource = z.infer<typeof usageSource>;

/** How a model call ended. */
export const callOutcome = z.enum(["ok", "client_error", "rate_limited", "server_error", "stream_error", "aborted", "denied"]);
export type CallOutcome = z.infer<typeof callOutcome>;
