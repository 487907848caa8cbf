import { expect, test } from "vitest";
import { sensitivePaths } from "./sensitive.ts";
import { cpuMs } from "../../../test/support/cpu-time.ts";

test("files that run on the host later are named, in submodules too", () => {
  const named = [
    ".git/hooks/post-checkout",
    ".git/config",
    "sub/.git",
    ".git/modules/lib/hooks/pre-commit",
    ".git/modules/a/b/config",
    "x/.git/modules/a/modules/b/hooks/update",
    ".envrc",
    "deep/package.json",
    ".github/workflows/ci.yml",
  ];
  const others = [
    ".git/modules/lib/HEAD",
    ".git/modules/config",
    "modules/lib/hooks/x",
    "a.git/modules/lib/hooks/x",
    "src/config",
    "hooks/x",
  ];
  expect(sensitivePaths([...others, ...named])).toEqual(named);
});

test("a path that was made for it costs no more than others", () => {
  const path = "/.git/modules".repeat(315);
  const spent = cpuMs(() => expect(sensitivePaths(Array.from({ length: 4_000 }, (_, i) => `${i}${path}`))).toEqual([]));
  expect(spent).toBeLessThan(2_000);
});
