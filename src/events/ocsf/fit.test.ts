import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { eventArbitrary } from "../../../test/support/event-arbitrary.ts";
import type { Event } from "../../schema/event.ts";
import { OCSF_VERSIONS, type OcsfVersion } from "../../schema/ocsf-version.ts";
import { EXAMPLE_EVENTS } from "../example-events.ts";
import type { OcsfEvent } from "./ocsf-event.ts";
import { schemaTable } from "./schema-table.ts";
import { toOcsf } from "./to-ocsf.ts";

const product = { name: "agentkernel", vendor: "agentkernel", version: "0.1.0" };

function mapped(event: Event, version: OcsfVersion): OcsfEvent {
  const [own] = toOcsf(event, { version, product, hostname: "node-1", sequence: 7 });
  if (own === undefined) throw new Error("nothing was mapped");
  return own;
}

function example<T extends Event["type"]>(type: T, fits: (event: Extract<Event, { type: T }>) => boolean = () => true): Event {
  const found = EXAMPLE_EVENTS.find((event) => event.type === type && fits(event as Extract<Event, { type: T }>));
  if (found === undefined) throw new Error(`no example of ${type}`);
  return found;
}

type Leaf = { readonly path: readonly string[]; readonly value: unknown };

function leaves(value: unknown, path: readonly string[] = []): readonly Leaf[] {
  if (typeof value !== "object" || value === null) return [{ path, value }];
  return Object.entries(value).flatMap(([name, each]) => leaves(each, [...path, name]));
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (here, name) => (typeof here === "object" && here !== null ? (here as Record<string, unknown>)[name] : undefined),
    value,
  );
}

/** What says the release itself, and so differs. */
const OF_THE_RELEASE = /^(metadata\.(version|profiles\.\d+)|type_uid|type_name|category_uid|category_name|unmapped\..*)$/;

describe.each(OCSF_VERSIONS.slice(1))("writing for %s", (version) => {
  it("keeps or moves every value, and loses none", () => {
    fc.assert(
      fc.property(eventArbitrary(), (event) => {
        const native = mapped(event, "1.8.0");
        const older = mapped(event, version);
        for (const { path, value } of leaves(native)) {
          if (OF_THE_RELEASE.test(path.join("."))) continue;
          const here = at(older, path);
          const moved = at(older.unmapped?.["downgraded"], path);
          // an enumerated value that the release lacks: 99, with its caption, which stands beside it and is looked at by itself
          const isOther = here === 99 && typeof value === "number";
          expect(
            here === value || moved === value || isOther,
            `${path.join(".")}: ${JSON.stringify(value)} in ${JSON.stringify(older)}`,
          ).toBe(true);
        }
        for (const { path, value } of leaves(native.unmapped)) expect(at(older.unmapped, path)).toBe(value);
      }),
      { numRuns: 400 },
    );
  });

  it("means the same by every number that both releases name", () => {
    const native = schemaTable("1.8.0");
    const older = schemaTable(version);
    const differing: string[] = [];
    let compared = 0;
    for (const side of ["classes", "objects"] as const) {
      for (const [key, item] of native[side] as ReadonlyMap<unknown, ReturnType<typeof native.objects.get> & object>) {
        const other = (older[side] as ReadonlyMap<unknown, typeof item>).get(key);
        for (const [name, { enum: values = {} }] of item.attributes) {
          for (const [value, caption] of Object.entries(values)) {
            const before = other?.attributes.get(name)?.enum?.[value];
            compared += 1;
            if (before !== undefined && before !== caption) differing.push(`${item.name}.${name} ${value}`);
          }
        }
      }
    }
    expect(compared).toBeGreaterThan(500);
    // a logon by a system; none of our events writes it
    expect(differing).toEqual(version === "1.1.0" ? ["authentication.logon_type_id 0"] : []);
  });
});

describe("what older releases lack", () => {
  it("makes an audit log event of 1.1 an application's, and says what it was", () => {
    const event = mapped(
      example("audit.log", ({ operation }) => operation === "rotate"),
      "1.1.0",
    );
    expect(event).toMatchObject({
      class_uid: 6002,
      type_uid: 600299,
      activity_id: 99,
      activity_name: "Rotate",
      type_name: "Application Lifecycle: Other",
    });
    expect(event.unmapped?.["downgraded"]).toMatchObject({ class_uid: 1008, activity_id: 5, file: { name: "000000000001.jsonl" } });
  });

  it("makes an exchange without a response a network activity up to 1.3", () => {
    const event = mapped(
      example("egress.exchange", ({ status }) => status === null),
      "1.3.0",
    );
    expect(event).toMatchObject({ class_uid: 4001, type_uid: 400104, activity_name: "Fail" });
    expect(event.unmapped?.["downgraded"]).toMatchObject({ class_uid: 4002, activity_id: 3, http_request: { http_method: "GET" } });
  });

  it("names a method that the release has no activity for", () => {
    const event = mapped(
      example("egress.exchange", ({ method }) => method === "PATCH"),
      "1.3.0",
    );
    expect(event).toMatchObject({ activity_id: 99, activity_name: "Patch", type_uid: 400299, type_name: "HTTP Activity: Other" });
    expect(event.unmapped?.["downgraded"]).toMatchObject({ http_request: { http_method: "PATCH" } });
  });

  it("moves the profile of a model call before 1.8, with its tokens", () => {
    const event = mapped(example("llm.call"), "1.6.0");
    expect(event.metadata.profiles).toEqual(["container", "host", "security_control"]);
    expect(event.unmapped?.["downgraded"]).toMatchObject({ ai_model: { name: "claude-sonnet" }, message_context: { prompt_tokens: 1843 } });
  });

  it("keeps the status of a denial whose decision has to move", () => {
    const event = mapped(
      example("auth.attempt", ({ outcome }) => outcome === "deny"),
      "1.3.0",
    );
    expect(event).toMatchObject({ status_id: 2, status: "Failure", status_detail: "the key is not known" });
    expect(event.unmapped?.["downgraded"]).toMatchObject({ action_id: 2, action: "Denied" });
  });
});
