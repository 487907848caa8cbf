import { execFileSync, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { VERSION } from "../../src/base/version.ts";
import { AGENTKERNEL } from "../support/cli.ts";

it("finds itself by a relative path, whatever CDPATH says", () => {
  // with it, `cd bin` would lead to /usr/bin and say so
  const env = { PATH: "/usr/bin:/bin", CDPATH: "/usr", HOME: "/nonexistent" };
  const output = execFileSync("/bin/sh", ["-c", "bin/agentkernel --version"], { cwd: dirname(dirname(AGENTKERNEL)), env });
  expect(output.toString()).toBe(`${VERSION}\n`);
});

it.each([
  { args: ["--version"], also: "" },
  { args: ["serve", "--help"], also: ",--scavenger-max-new-space-capacity-mb=1" },
  { args: ["--config", "/a file", "serve", "--help"], also: ",--scavenger-max-new-space-capacity-mb=1" },
  { args: ["--config=/a file", "serve", "--help"], also: ",--scavenger-max-new-space-capacity-mb=1" },
])("bounds the parts of the heap that would only grow: $args", ({ args, also }) => {
  const said = "process.stderr.write(process.execArgv.join())";
  const env = { PATH: "/usr/bin:/bin", HOME: "/nonexistent", NODE_OPTIONS: `--import=data:text/javascript,${said}` };
  const result = spawnSync(AGENTKERNEL, args, { env });
  expect(result.stderr.toString()).toBe(`--max-semi-space-size=16${also}`);
  expect(result.status).toBe(0);
});

it("gives all of its output to a pipe before it ends", () => {
  const output = new URL("../../src/cli/output.ts", import.meta.url).href;
  const program = `import { createOutput } from ${JSON.stringify(output)};
    const output = createOutput({ color: false });
    output.out("x".repeat(1_000_000));
    await output.flush();
    process.exit(0);`;
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", program], { maxBuffer: 10_000_000 });
  expect(result.stderr.toString()).toBe("");
  expect(result.stdout).toHaveLength(1_000_001);
});

it("says that its output cannot be written, and not that all is well", () => {
  const home = mkdtempSync(join(tmpdir(), "agentkernel-front-"));
  const full = openSync("/dev/full", "w");
  try {
    for (const args of [["--help"], ["config", "check"], ["doctor"]]) {
      const env = { PATH: "/usr/bin:/bin", HOME: home, AGENTKERNEL_HOME: home };
      const result = spawnSync(AGENTKERNEL, args, { env, stdio: ["ignore", full, "pipe"] });
      expect([args, result.status]).toEqual([args, 125]);
      expect(result.stderr.toString()).toContain("error[DISK_FULL]: the output cannot be written");
    }
  } finally {
    closeSync(full);
    rmSync(home, { recursive: true, force: true });
  }
});
