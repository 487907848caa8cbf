import { describe, expect, it } from "vitest";
import type { Event } from "../../schema/event.ts";
import { OCSF_VERSIONS, type OcsfVersion } from "../../schema/ocsf-version.ts";
import { EXAMPLE_EVENTS } from "../example-events.ts";
import { toOcsf } from "./to-ocsf.ts";

const product = { name: "agentkernel", vendor: "agentkernel", version: "0.1.0" };
const map = (event: Event, version: OcsfVersion) => toOcsf(event, { version, product, hostname: "node-1", sequence: 7 });
const isDenied = (event: Event): boolean => event.outcome === "deny" && event.type !== "security.finding";

describe("a Detection Finding beside an event", () => {
  it("follows a denied way inwards, and refers to it", () => {
    const event = EXAMPLE_EVENTS.find((each) => each.type === "egress.exchange" && each.rule === "address");
    if (event === undefined) throw new Error("no such example");
    const [own, finding, ...more] = map(event, "1.8.0");
    expect(more).toEqual([]);
    expect(own).toMatchObject({ is_alert: true, action: "Denied", disposition: "Blocked", firewall_rule: { uid: "address" } });
    expect(finding).toMatchObject({
      type_uid: 200401,
      status: "New",
      severity_id: 3,
      is_alert: true,
      metadata: { uid: `${event.id}.finding`, original_event_uid: event.id, sequence: 7 },
      finding_info: { related_events: [{ uid: event.id, type_uid: 400203 }], analytic: { uid: "address", type: "Rule" } },
      evidences: [{ dst_endpoint: { ip: "10.0.0.7" } }],
    });
  });

  it.each(OCSF_VERSIONS)("follows the denials that it should in %s, and nothing else", (version) => {
    const denials = EXAMPLE_EVENTS.filter(isDenied);
    expect(denials.length).toBeGreaterThan(4);
    for (const event of denials) {
      const isAlerting = "rule" in event && event.rule === "address";
      const isOld = version === "1.3.0" || version === "1.1.0";
      expect(map(event, version).length, event.type).toBe(isAlerting || isOld ? 2 : 1);
    }
    for (const event of EXAMPLE_EVENTS.filter((each) => !isDenied(each))) expect(map(event, version).length, event.type).toBe(1);
  });

  it("is the event itself where the event is a finding", () => {
    const event = EXAMPLE_EVENTS.find(({ type }) => type === "security.finding");
    if (event === undefined) throw new Error("no such example");
    for (const version of OCSF_VERSIONS) {
      const [finding, ...more] = map(event, version);
      expect(more).toEqual([]);
      expect(finding).toMatchObject({
        class_uid: 2004,
        status: "New",
        metadata: { uid: event.id },
        finding_info: { title: "secret_misplaced" },
      });
    }
  });
});

describe("a decision", () => {
  it("that only observing let pass is observed, not allowed", () => {
    const event = EXAMPLE_EVENTS.find((each) => each.type === "egress.exchange" && each.observed === true);
    if (event === undefined) throw new Error("no such example");
    expect(map(event, "1.8.0")[0]).toMatchObject({ action: "Observed", disposition: "Logged" });
  });

  it("of an exchange that failed on its way is an allowed one", () => {
    const event = EXAMPLE_EVENTS.find((each) => each.type === "egress.exchange" && each.outcome === "error");
    if (event === undefined) throw new Error("no such example");
    expect(map(event, "1.8.0")[0]).toMatchObject({ action: "Allowed", status: "Failure", severity: "High", status_code: "UPSTREAM_ERROR" });
  });
});
