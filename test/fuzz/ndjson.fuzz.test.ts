import fc from "fast-check";
import { expect, test } from "vitest";
import { createResponseTap } from "../../src/providers/response-tap.ts";
import type { Recognition } from "../../src/providers/types.ts";
import { cut, fuzz } from "../support/fuzz.ts";

/** Lines of JSON as a model server streams them, against `JSON.parse` of each line. */
const recognition: Recognition = { provider: "ollama", shape: "ollama", operation: "chat", billable: true, injectUsage: false };

const count = fc.option(fc.nat(100_000), { nil: undefined });
const chunk = fc.constant('{"model":"m","message":{"role":"assistant","content":"x"},"done":false}');
const last = fc
  .record({ prompt_eval_count: count, eval_count: count })
  .map((counts) => JSON.stringify({ model: "m", done: true, done_reason: "stop", ...counts }));
const junk = fc.oneof(
  fc.constantFrom("", "{", "[]", "null", '{"done":', '"', "\\", '{"a":"\\u00', "{}}", " "),
  fc.string({ maxLength: 20 }),
);
const lines = fc.array(fc.oneof({ weight: 4, arbitrary: chunk }, { weight: 2, arbitrary: last }, { weight: 1, arbitrary: junk }), {
  maxLength: 12,
});
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });

async function usageOf(pieces: readonly Buffer[]) {
  const tap = createResponseTap(recognition, { status: 200, headers: { contentType: "application/x-ndjson" } });
  for (const piece of pieces) tap.write(piece);
  return { facts: await tap.end("complete") };
}

test("any lines in any chunking give the same usage, and that of whole lines only", async () => {
  let counted = 0;
  const total = await fuzz(
    fc.asyncProperty(lines, fc.constantFrom("\n", "\r\n"), sizes, async (parts, end, at) => {
      const whole = Buffer.from(parts.map((part) => part.replace(/[\r\n]/g, "") + end).join(""));
      const found = await usageOf([whole]);
      expect(await usageOf(cut(whole, at))).toEqual(found);
      const { facts } = found;
      const [input, output] = [facts.usage?.input ?? null, facts.usage?.output ?? null];
      if (input !== null || output !== null) counted += 1;
      // never a number that no line says
      const said = parts.flatMap((part) => {
        try {
          const value = JSON.parse(part) as { prompt_eval_count?: number; eval_count?: number } | null;
          return [value?.prompt_eval_count, value?.eval_count];
        } catch {
          return [];
        }
      });
      // without a last line pieces are counted, which is said to be an estimate
      if (facts.source !== "reported") return;
      for (const value of [input, output]) if (value !== null) expect(said).toContain(value);
    }),
    { runs: 2_000 },
  );
  expect(counted).toBeGreaterThan(total / 10);
});
