import { execFileSync } from "node:child_process";
import { dirname } from "node:path";
import { expect, it } from "vitest";
import { VERSION } from "../../src/base/version.ts";
import { AGENTKERNEL } from "../support/cli.ts";

it("finds itself by a relative path, whatever CDPATH says", () => {
  // with it, `cd bin` would lead to /usr/bin and say so
  const env = { PATH: "/usr/bin:/bin", CDPATH: "/usr", HOME: "/nonexistent" };
  const output = execFileSync("/bin/sh", ["-c", "bin/agentkernel --version"], { cwd: dirname(dirname(AGENTKERNEL)), env });
  expect(output.toString()).toBe(`${VERSION}\n`);
});
