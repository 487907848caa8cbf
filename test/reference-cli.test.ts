import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { renderCliReference } from "../src/cli/reference.ts";

test("docs/reference/cli.md is what the program says (npm run generate)", () => {
  expect(readFileSync(new URL("../docs/reference/cli.md", import.meta.url), "utf8")).toBe(renderCliReference());
});
