import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { eventArbitraries } from "../../../test/support/event-arbitrary.ts";
import { nativeRecord } from "../../schema/native-record.ts";
import { EXAMPLE_EVENTS } from "../example-events.ts";
import { toOcsf } from "../ocsf/to-ocsf.ts";
import { toNative } from "./to-native.ts";

const product = { name: "agentkernel", vendor: "agentkernel", version: "0.1.0" };
const context = { version: "1.8.0", product, hostname: "node-1" } as const;

describe("the native audit record", () => {
  it.each([...eventArbitraries().entries()])("of %s fits its schema, loses nothing and classifies as OCSF does", (_, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, (event) => {
        const record = toNative(event, context);
        expect(nativeRecord.safeParse(record).error).toBeUndefined();
        const { id, timestamp, outcome, actor, schema_version: _version, ...rest } = event;
        expect({ uid: record.uid, time: record.time, outcome: record.outcome }).toEqual({ uid: id, time: timestamp, outcome });
        const { actor_kind, ...attributes } = record.resource.attributes;
        expect(attributes).toEqual(rest);
        expect({ ...record.actor, kind: actor_kind }).toEqual(actor);
        const ocsf = toOcsf(event, context)[0];
        expect([record.class_uid, record.category_uid, record.severity_id]).toEqual([
          ocsf?.class_uid,
          ocsf?.category_uid,
          ocsf?.severity_id,
        ]);
        if (ocsf?.activity_id !== 99) expect(record.type_name).toBe(ocsf?.["type_name"]);
      }),
      { numRuns: 150 },
    );
  });

  it("has the fields and meanings that other programs rely on", () => {
    const denied = EXAMPLE_EVENTS.find((event) => event.type === "egress.exchange" && event.rule === "address");
    if (denied === undefined) throw new Error("no such example");
    expect(toNative(denied, context)).toMatchObject({
      time: "2026-11-21T10:00:00.000Z",
      class_uid: 4002,
      category_uid: 4,
      severity_id: 3,
      type_name: "HTTP Activity: Get",
      uid: denied.id,
      action: "egress.request",
      outcome: "deny",
      actor: { user_id: "web" },
      resource: { resource_type: "url", resource_id: "https://packages.example.com/left-pad", attributes: { rule: "address" } },
      policy: { policy_id: "moderate", policy_name: "moderate", policy_version: 7 },
      metadata: { product_name: "agentkernel", vendor_name: "agentkernel", product_version: "0.1.0", hostname: "node-1" },
    });
  });

  it.each([
    ["permit", 1],
    ["info", 1],
    ["deny", 3],
    ["error", 4],
  ] as const)("says outcome %s as severity %i, in both formats", (outcome, severity) => {
    for (const event of EXAMPLE_EVENTS) {
      expect(toNative({ ...event, outcome }, context).severity_id).toBe(severity);
      for (const ocsf of toOcsf({ ...event, outcome }, context)) expect(ocsf.severity_id).toBe(severity);
    }
  });
});
