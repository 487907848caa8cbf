import { expect, it } from "vitest";
import { formsOf } from "./forms.ts";
import { needlesOf } from "./needles.ts";

const VALUE = `key/with+every=thing&<that>'"escapes\`01`;
const INSTEAD = "placeholder0123456789placeholder";

/** What programs write when they repeat a value: written out, so that no escaping of ours checks itself. */
const REPEATED: readonly (readonly [string, string])[] = [
  ["plain", VALUE],
  ["JSON", `key/with+every=thing&<that>'\\"escapes\`01`],
  ["PHP's JSON", `key\\/with+every=thing&<that>'"escapes\`01`],
  ["Go's JSON", `key/with+every=thing\\u0026\\u003cthat\\u003e'\\"escapes\`01`],
  [".NET's JSON", `key/with\\u002Bevery=thing\\u0026\\u003Cthat\\u003E\\u0027\\u0022escapes\\u006001`],
  ["HTML", `key/with+every=thing&amp;&lt;that&gt;&#39;&quot;escapes\`01`],
  ["Handlebars", `key/with+every&#x3D;thing&amp;&lt;that&gt;&#x27;&quot;escapes&#x60;01`],
  ["Mustache", `key&#x2F;with+every&#x3D;thing&amp;&lt;that&gt;&#39;&quot;escapes&#x60;01`],
  ["base64", Buffer.from(VALUE).toString("base64")],
  ["a URL", encodeURIComponent(VALUE)],
];

it.each(REPEATED)("finds a value as %s writes it, and puts as much in its place", (_writer, text) => {
  const needles = needlesOf(formsOf(VALUE, INSTEAD));
  const clean = needles.replaceIn(`before ${text} after`);
  expect(clean).not.toContain(text.slice(4, -4));
  expect(clean.length).toBe(`before ${text} after`.length);
  expect(clean).toMatch(/^before .* after$/);
});

it("has no more forms for a value without special characters", () => {
  expect(formsOf("sk-proj-0123456789abcdefghij", INSTEAD).length).toBeLessThanOrEqual(9);
});
