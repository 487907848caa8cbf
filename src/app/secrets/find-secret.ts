import type { SecretText } from "../../schema/audit-stream.ts";

/**
 * The value of a text of the configuration that may be a reference.
 * @param signal ends the search, and a command that is asked for the value, before its own deadline
 * @throws NOT_FOUND when there is no value
 */
export type FindSecret = (text: SecretText, signal?: AbortSignal) => Promise<string>;
