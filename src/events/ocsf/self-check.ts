import { EXAMPLE_EVENTS } from "../example-events.ts";
import type { OcsfContext } from "./ocsf-event.ts";
import { toOcsf } from "./to-ocsf.ts";
import { type OcsfProblem, validateOcsf } from "./validate.ts";

/**
 * Maps one event of every kind with what a destination says of itself (product, host name, release) and validates the result: what
 * `config check` can know of a stream before its first event. Empty: every kind of event is valid.
 */
export function checkMapping(context: OcsfContext): readonly (OcsfProblem & { readonly event: string })[] {
  return EXAMPLE_EVENTS.flatMap((event) =>
    toOcsf(event, context).flatMap((mapped) => validateOcsf(mapped, context.version).map((problem) => ({ ...problem, event: event.type }))),
  );
}
