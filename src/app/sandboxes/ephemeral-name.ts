import { newId } from "../../base/id.ts";

/** A name for a sandbox that nobody named: `run-` and a part of an id that does not repeat. */
export function ephemeralName(): string {
  return `run-${newId("req").slice(-14)}`;
}
