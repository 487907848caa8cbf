import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const root = new URL("../", import.meta.url);
const page = readFileSync(new URL("docs/security/limits.md", root), "utf8");
const rows = [...page.matchAll(/^\| (.+?) \| (\d+) \| (.+?) \| `(src\/[^`]+)` `(\w+)` \|$/gm)].map(
  ([, what = "", value, , file = "", name = ""]) => ({
    what,
    value: Number(value),
    file,
    name,
  }),
);

/** The value of `NAME = 16 * 1024;` or `name: 64 * 1024,` in a file: numbers, products and powers. */
function valueIn(file: string, name: string): number {
  const source = readFileSync(new URL(file, root), "utf8");
  const text = new RegExp(`\\b${name}\\s*[:=]\\s*([0-9_*\\s]+)[;,]`).exec(source)?.[1];
  if (text === undefined) throw new Error(`${file} holds no number ${name}`);
  const power = (factor: string): number => {
    const [base = Number.NaN, exponent = 1] = factor.split("^").map((part) => Number(part.trim().replaceAll("_", "")));
    return base ** exponent;
  };
  return text
    .replaceAll("**", "^")
    .split("*")
    .reduce((product, factor) => product * power(factor), 1);
}

test("the page holds limits, and none of its rows was passed over", () => {
  const lines = page.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| what"));
  expect(rows.length).toBeGreaterThan(30);
  expect(lines).toHaveLength(rows.length);
});

test.each(rows)("$what: $value, as the code has it", ({ value, file, name }) => {
  expect(valueIn(file, name)).toBe(value);
});
