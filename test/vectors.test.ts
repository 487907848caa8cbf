import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/**
 * Known ways in which meters and proxies for model calls went wrong, numbered V01 to V101. Each is covered by a wire vector whose file
 * name begins with its number, or by a test whose title does (`V95: …`, `V27, V28: …`).
 */
const VECTORS = Array.from({ length: 101 }, (_, at) => at + 1);

/** What has no test yet, and why; a number that gets one must be taken out here. */
const PENDING: Readonly<Record<number, string>> = {};

const root = join(import.meta.dirname, "..");

function covered(): Map<number, string[]> {
  const found = new Map<number, string[]>();
  const add = (number: string, where: string): void => {
    const list = found.get(Number(number)) ?? [];
    if (!list.includes(where)) list.push(where);
    found.set(Number(number), list);
  };
  for (const name of readdirSync(join(root, "test/vectors"), { recursive: true, encoding: "utf8" })) {
    const number = /(?:^|\/)V(\d{2,3})-[^/]+\.json$/.exec(name)?.[1];
    if (number !== undefined) add(number, `test/vectors/${name}`);
  }
  for (const folder of ["src", "test"])
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".test.ts")) continue;
      const text = readFileSync(join(root, folder, name), "utf8");
      for (const [, numbers = ""] of text.matchAll(/["'`]((?:V\d{2,3}, )*V\d{2,3}): /g))
        for (const [, number = ""] of numbers.matchAll(/V(\d{2,3})/g)) add(number, `${folder}/${name}`);
    }
  return found;
}

test("every vector is covered by a file or a title that bears its number, or says why not", () => {
  const found = covered();
  expect(found.size).toBeGreaterThan(80);
  expect(VECTORS.filter((number) => !found.has(number) && PENDING[number] === undefined).map((number) => `V${number}`)).toEqual([]);
});

test("no number is taken that there is not, and nothing that is covered is called pending", () => {
  const found = covered();
  expect([...found.keys()].filter((number) => !VECTORS.includes(number) && number !== 102)).toEqual([]);
  expect(Object.keys(PENDING).filter((number) => found.has(Number(number)))).toEqual([]);
});
