import fc from "fast-check";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { renderTable, tablePath } from "../../scripts/generate-ocsf.ts";
import { OCSF_VERSIONS, type OcsfVersion } from "../../src/schema/ocsf-version.ts";
import { EXAMPLE_EVENTS } from "../../src/events/example-events.ts";
import type { OcsfEvent } from "../../src/events/ocsf/ocsf-event.ts";
import { toOcsf } from "../../src/events/ocsf/to-ocsf.ts";
import { validateOcsf } from "../../src/events/ocsf/validate.ts";
import type { Event } from "../../src/schema/event.ts";
import { eventArbitraries, eventArbitrary } from "../support/event-arbitrary.ts";
import { mutate } from "../support/ocsf-mutation.ts";
import { OCSF_FOLDER, officialVerdicts, requiresOcsf } from "../support/ocsf-schema.ts";
import { tempDir } from "../support/temp.ts";

const PER_KIND = 40;
const SEED = 20260318;

function mapAll(version: OcsfVersion, events: readonly Event[]): readonly OcsfEvent[] {
  const product = { name: "agentkernel", vendor: "agentkernel", version: "0.1.0" };
  return events.flatMap((event, sequence) => toOcsf(event, { version, product, hostname: "node-1", sequence, chain: "chn_1" }));
}

type Found = { readonly level: string; readonly path: string };

/** Where a checker found what, whatever its words. Beside errors the warnings do not count: one takes `[1]` for 1, the other not. */
function found(problems: readonly Found[]): readonly string[] {
  const errors = problems.filter(({ level }) => level === "error");
  return [...new Set((errors.length === 0 ? problems : errors).map(({ level, path }) => `${level} ${path}`))].toSorted();
}

/** The path before the checker's colon; an object's own fault is `(event)` or ends in a dot there. */
function officialPath(text: string): string {
  const path = text.slice(0, text.indexOf(": "));
  return path === "(event)" ? "" : path.replace(/\.$/, "");
}

describe("the official checker", requiresOcsf(), () => {
  it.each(OCSF_VERSIONS)("accepts every kind of event in %s, without a warning", async (version) => {
    await using dir = await tempDir();
    const drawn = [...eventArbitraries().values()].flatMap((arbitrary) => fc.sample(arbitrary, { seed: SEED, numRuns: PER_KIND }));
    const events = [...EXAMPLE_EVENTS, ...drawn];
    expect(new Set(events.map(({ type }) => type)).size).toBe(11);
    const mapped = mapAll(version, events);
    const verdicts = await officialVerdicts(version, mapped, dir.path);
    const bad = verdicts.flatMap((verdict, index) =>
      verdict.problems.length === 0 && verdict.isOk ? [] : [{ verdict, event: mapped[index] }],
    );
    expect(bad.slice(0, 3)).toEqual([]);
  });

  it.each(OCSF_VERSIONS)("finds in broken events of %s what our validator finds", async (version) => {
    await using dir = await tempDir();
    const events = mapAll(version, fc.sample(eventArbitrary(), { seed: SEED, numRuns: 150 }));
    const broken = events.map((event, index) => mutate(event, SEED + index));
    const verdicts = await officialVerdicts(version, broken, dir.path);
    for (const [index, verdict] of verdicts.entries()) {
      const official = found(verdict.problems.map(({ level, text }) => ({ level, path: officialPath(text) })));
      expect(found(validateOcsf(JSON.parse(JSON.stringify(broken[index])), version)), JSON.stringify(broken[index])).toEqual(official);
    }
    // a mutation that breaks nothing proves nothing
    expect(verdicts.filter(({ isOk }) => !isOk).length).toBeGreaterThan(verdicts.length / 3);
  });
});

describe("the worked examples", requiresOcsf(), () => {
  it("are valid for our validator, or use objects that our events do not", () => {
    const names = [
      "a1-sandbox-create-api-activity-6003",
      "b-policy-deny-api-activity-6003",
      "e-auth-failure-authentication-3002",
      "c-http-egress-http-activity-4002",
    ];
    for (const name of names) {
      const problems = validateOcsf(JSON.parse(readFileSync(join(OCSF_FOLDER, `${name}.json`), "utf8")), "1.8.0");
      expect(problems.filter(({ message }) => !message.endsWith("is not in the table"))).toEqual([]);
    }
  });
});

describe("the attribute tables", requiresOcsf(), () => {
  it.each(OCSF_VERSIONS)("of %s are what the generator makes of the schema (node scripts/generate-ocsf.ts ../shared/ocsf)", (version) => {
    const source = readFileSync(join(OCSF_FOLDER, `ocsf-${version}.json`), "utf8");
    expect(readFileSync(tablePath(version), "utf8")).toBe(renderTable(source));
  });
});
