import { describe, expect, it } from "vitest";
import { event } from "../../schema/event.ts";
import { OCSF_VERSIONS } from "../../schema/ocsf-version.ts";
import { EXAMPLE_EVENTS } from "../example-events.ts";
import { checkMapping } from "./self-check.ts";
import { toOcsf } from "./to-ocsf.ts";
import { validateOcsf } from "./validate.ts";

const product = { name: "agentkernel", vendor: "agentkernel", version: "0.1.0" };
const [first] = EXAMPLE_EVENTS;
if (first === undefined) throw new Error("there are no examples");
const [valid] = toOcsf(first, { version: "1.8.0", product, hostname: "node-1" });

describe("the validator", () => {
  it.each([
    ["a missing attribute", { severity_id: undefined }, "severity_id", "required, missing"],
    ["an unknown attribute", { resource: "x" }, "resource", "unknown attribute"],
    ["a text where a time in ms belongs", { time: "2026-11-21T10:00:00Z" }, "time", "expected timestamp_t, got string"],
    ["a fraction where a whole number belongs", { duration: 1.5 }, "duration", "expected long_t, got number 1.5"],
    ["a value beside the enumeration", { status_id: 7 }, "status_id", "not in enum: 7"],
    ["a list where one belongs", { message: ["a"] }, "message", "array"],
    ["one where a list belongs", { resources: { name: "a" } }, "resources", "not an array"],
    [
      "an endpoint of nothing",
      { src_endpoint: { port: 1 } },
      "src_endpoint",
      "at_least_one: ip, uid, name, hostname, svc_name, instance_uid, interface_uid, interface_name, domain",
    ],
    ["a text that is no address", { src_endpoint: { ip: "1.2.3" } }, "src_endpoint.ip", "does not match ip_t"],
    ["a port out of range", { src_endpoint: { name: "a", port: 70_000 } }, "src_endpoint.port", "out of range 0-65535"],
    ["a profile's attribute without the profile", { ai_model: { name: "a", ai_provider: "b" } }, "ai_model", "needs profile ai_operation"],
    ["a type that the activity does not give", { type_uid: 600_399 }, "type_uid", "should be 600301"],
    ["an attribute of an object's prototype", { constructor: 1 }, "constructor", "unknown attribute"],
  ])("finds %s", (_, change, path, message) => {
    expect(validateOcsf({ ...valid, ...change })).toContainEqual({ path, message, level: "error" });
  });

  it("warns of a wrong caption", () => {
    expect(validateOcsf({ ...valid, severity: "High" })).toEqual([
      { path: "severity_id", message: 'sibling severity should be "Informational"', level: "warning" },
    ]);
  });

  it.each([null, [], "text", {}, { metadata: { version: "2.0.0" } }, { metadata: { version: "1.8.0" }, class_uid: 1 }])(
    "refuses %j",
    (value) => {
      expect(validateOcsf(value).filter(({ level }) => level === "error")).not.toEqual([]);
    },
  );
});

it("every example is an event", () => {
  for (const example of EXAMPLE_EVENTS) expect(event.safeParse(example).error).toBeUndefined();
});

it.each(OCSF_VERSIONS)("every example is valid in %s, whatever the host is called", (version) => {
  for (const hostname of ["node-1", "node_1", "", "10.0.0.1", "bücher"]) expect(checkMapping({ version, product, hostname })).toEqual([]);
});
