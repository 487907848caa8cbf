import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { renderAuditEventReference } from "../src/events/reference.ts";
import { event } from "../src/schema/event.ts";

it("docs/reference/audit-events.md is what the mapping does, for every kind of event (npm run generate)", () => {
  const page = readFileSync(new URL("../docs/reference/audit-events.md", import.meta.url), "utf8");
  expect(page).toBe(renderAuditEventReference());
  for (const option of event.options) expect(page).toContain(`| \`${[...option.shape.type.values][0]}\` |`);
  expect(page).not.toContain("undefined");
});
