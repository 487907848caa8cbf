import { globSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const root = new URL("../", import.meta.url);
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

test("every threat is behind a guarantee, and every file that a guarantee names is there", () => {
  const readme = readFileSync(new URL("../docs/security/README.md", import.meta.url), "utf8");
  const guarantees = readme.split("\n").filter((line) => /^\| [A-Z].*\|$/.test(line));
  expect(guarantees.length).toBeGreaterThan(15);
  const covered = new Set<number>();
  for (const line of guarantees) {
    const [, , where = "", tests = ""] = line.split(" | ");
    const numbers = [...tests.matchAll(/T(\d\d)(?:–T(\d\d))?/g)];
    for (const [, from, to] of numbers) for (let n = Number(from); n <= Number(to ?? from); n += 1) covered.add(n);
    const paths = [...`${where} ${tests}`.matchAll(/`((?:src|guest|test)\/[^`]+)`/g)].map(([, path = ""]) => path);
    expect(paths.length + numbers.length, line).toBeGreaterThan(1);
    for (const path of paths) expect(globSync(path, { cwd: root }).length, path).toBeGreaterThan(0);
  }
  const missing = rows.filter(({ number, file }) => file !== null && !covered.has(number)).map(({ number }) => number);
  expect(missing).toEqual([]);
});

test("every file is on the page, and every one holds a test", () => {
  expect(files.length).toBeGreaterThan(60);
  const listed = rows.flatMap(({ file }) => file?.[2] ?? []);
  expect(files.filter((name) => !listed.includes(name))).toEqual([]);
  for (const name of files)
    expect(readFileSync(new URL(`./security/${name}`, import.meta.url), "utf8"), name).toMatch(/\b(?:test|it)(?:\.each)?\b/);
});
