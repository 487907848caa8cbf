import { VERSION } from "../../base/version.ts";
import { toNative } from "../../events/native/to-native.ts";
import { toOcsf } from "../../events/ocsf/to-ocsf.ts";
import type { PlacedEvent } from "../../events/read-forward.ts";
import type { EventFormat } from "../../schema/ocsf-version.ts";
import { withoutBodies } from "../../schema/shown-body.ts";

const PRODUCT = { name: "agentkernel", vendor: "agentkernel", version: VERSION };

/** What leaves of an event: bodies are for the hooks alone that asked for them. */
export function encodeEvent({ event, chain, seq }: PlacedEvent, format: EventFormat, hostname: string): readonly object[] {
  switch (format) {
    case "event":
      return [withoutBodies(event)];
    case "native":
      return [toNative(withoutBodies(event), { product: PRODUCT, hostname })];
    default:
      return toOcsf(event, { version: format, product: PRODUCT, hostname, sequence: seq, chain });
  }
}
