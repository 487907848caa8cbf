import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "./commands.ts";
import { CONFIG } from "./config.ts";
import { DESTINATIONS } from "./destinations.ts";
import { bodyFields, commandOptions, configKeys } from "./keys.ts";
import { LISTINGS } from "./listings.ts";
import { REQUESTS, WITHOUT_EFFECT } from "./requests.ts";
import type { Seen } from "./seen.ts";

/** What is documented and would do nothing is a promise that nobody keeps: every key has a test that sees its effect. */

const urlOf = (path: string): URL => new URL(`../${path}`, import.meta.url);

describe.each<[string, readonly string[], readonly Seen[], readonly string[], number]>([
  ["keys of the configuration", configKeys(), [...CONFIG, ...DESTINATIONS], [], 150],
  ["options of the command line", commandOptions(), [...COMMANDS, ...LISTINGS], [], 100],
  ["fields of request bodies", bodyFields(), REQUESTS, Object.keys(WITHOUT_EFFECT), 90],
])("%s", (_what, known, seen, without, least) => {
  const rows = [...seen.flatMap(({ keys }) => keys), ...without];

  it("have a row each, and no row is for one that is gone", () => {
    expect(known.length).toBeGreaterThan(least);
    expect(known.filter((key) => !rows.includes(key))).toEqual([]);
    expect(rows.filter((key) => !known.includes(key))).toEqual([]);
    expect(rows.filter((key, at) => rows.indexOf(key) !== at)).toEqual([]);
  });

  it.each(seen)("$file has a test “$title”", ({ file, title }) => {
    expect(existsSync(urlOf(file)), file).toBe(true);
    // the title of a test, not a mention of it
    const titles = [...readFileSync(urlOf(file), "utf8").matchAll(/(?:\b(?:it|test)|\))\(\s*["`]([^\n]*?)["`],/g)].map(
      ([, found = ""]) => found,
    );
    expect(titles.filter((found) => found.includes(title))).toHaveLength(1);
  });
});

it("what is taken without an effect is documented as that", () => {
  const page = readFileSync(urlOf("../docs/reference/api.md"), "utf8");
  for (const words of Object.values(WITHOUT_EFFECT)) expect(page).toContain(words);
});
