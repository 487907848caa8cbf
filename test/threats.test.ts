import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const page = readFileSync(new URL("../docs/security/threats.md", import.meta.url), "utf8");
const files = readdirSync(new URL("./security/", import.meta.url)).filter((name) => /^T\d+-.*\.test\.ts$/.test(name));
const rows = [...page.matchAll(/^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$/gm)].map(([, number, threat, outcome, cell]) => ({
  number: Number(number),
  threat,
  outcome,
  file: /^\[T(\d\d)\]\(\.\.\/\.\.\/test\/security\/(.+)\)$/.exec(cell ?? ""),
}));

test("the page numbers 70 threats, one row each", () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 70 }, (_, i) => i + 1));
});

test("every threat has its file, under its own number, or says why it has none", () => {
  for (const { number, outcome, file } of rows) {
    if (file === null) expect(outcome, String(number)).toMatch(/^not applicable: ./);
    else {
      expect(Number(file[1])).toBe(number);
      expect(file[2]).toMatch(new RegExp(`^T${String(number).padStart(2, "0")}-`));
      expect(files).toContain(file[2]);
    }
  }
});

test("every file is on the page, and every one holds a test", () => {
  expect(files.length).toBeGreaterThan(60);
  const listed = rows.flatMap(({ file }) => file?.[2] ?? []);
  expect(files.filter((name) => !listed.includes(name))).toEqual([]);
  for (const name of files)
    expect(readFileSync(new URL(`./security/${name}`, import.meta.url), "utf8"), name).toMatch(/\b(?:test|it)(?:\.each)?\b/);
});
