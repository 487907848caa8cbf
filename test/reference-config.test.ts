import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { renderErrorReference } from "../src/base/error-reference.ts";
import { ERRORS } from "../src/base/error.ts";
import { environmentFrom } from "../src/config/env.ts";
import { configFrom } from "../src/config/config-from.ts";
import { renderConfigReference } from "../src/config/reference.ts";

const page = (name: string) => readFileSync(new URL(`../docs/reference/${name}`, import.meta.url), "utf8");

describe("docs/reference", () => {
  it("config.md is what the schema says (npm run generate)", () => {
    expect(page("config.md")).toBe(renderConfigReference());
  });

  it("errors.md is what the table says (npm run generate)", () => {
    expect(page("errors.md")).toBe(renderErrorReference());
    for (const code of Object.keys(ERRORS)) expect(page("errors.md")).toContain(`| \`${code}\` |`);
  });

  it("config.md names every key that a configuration has, with a meaning", () => {
    const text = page("config.md");
    const { keys } = configFrom({}, { env: environmentFrom({ HOME: "/h" }), uid: 1000 });
    expect(keys.length).toBeGreaterThan(15);
    for (const key of keys) expect(text).toMatch(new RegExp(`\`${key.split(".").at(-1)}\` \\||\\[${key.replaceAll(".", "\\.")}\\]`));
    expect(text).not.toMatch(/\|\s+\|\n/);
    expect(text).not.toContain("undefined");
  });
});
