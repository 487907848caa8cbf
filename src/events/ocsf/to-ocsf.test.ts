import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { eventArbitraries } from "../../../test/support/event-arbitrary.ts";
import { event as eventSchema } from "../../schema/event.ts";
import { OCSF_VERSIONS } from "../../schema/ocsf-version.ts";
import type { OcsfContext } from "./ocsf-event.ts";
import { toOcsf } from "./to-ocsf.ts";
import { validateOcsf } from "./validate.ts";

const product = { name: "agentkernel", vendor: "agentkernel", version: "0.1.0" };

describe.each(OCSF_VERSIONS)("every event in OCSF %s", (version) => {
  const contexts = fc.record<OcsfContext>(
    {
      version: fc.constant(version),
      product: fc.constant(product),
      hostname: fc.constantFrom("node-1", "node_1", "10.0.0.7", ""),
      sequence: fc.nat(),
      chain: fc.constant("chn_1"),
    },
    { requiredKeys: ["version", "product", "hostname"] },
  );

  it.each([...eventArbitraries().entries()])("%s is valid, without a warning", (type, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, contexts, (event, context) => {
        expect(eventSchema.safeParse(event).error, type).toBeUndefined();
        const mapped = toOcsf(event, context);
        for (const each of mapped) expect(validateOcsf(each, version)).toEqual([]);
        expect(mapped[0]?.metadata.uid).toBe(event.id);
        expect(new Set(mapped.map((each) => each.metadata.uid)).size).toBe(mapped.length);
        // the mapping is made for this release: nothing may need to move
        if (version === "1.8.0") for (const each of mapped) expect(each.unmapped?.["downgraded"]).toBeUndefined();
        expect(JSON.stringify(toOcsf(structuredClone(event), context))).toBe(JSON.stringify(mapped));
      }),
      { numRuns: 300 },
    );
  });
});
