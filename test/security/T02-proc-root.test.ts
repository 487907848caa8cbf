import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T02: the host's file system through /proc", (attacked) => {
  test("every root that /proc names is the sandbox's own", async () => {
    const canary = join(attacked.harness.base, "canary");
    await writeFile(canary, "host");
    const script =
      'for p in /proc/*/root /proc/*/cwd /proc/self/fd/* /proc/1/root/oldroot /oldroot /newroot; do [ -e "$p$1" ] && echo "FOUND $p$1"; done; ls -d /proc/self/root/etc';
    const { stdout } = await runIn(attacked.sandbox, ["/bin/sh", "-c", script, "sh", canary]);
    expect(stdout).toBe("/proc/self/root/etc\n");
  });

  test("the init's are closed", async () => {
    expect(
      await attack(attacked.sandbox, "read:/proc/1/root/etc/passwd", "read:/proc/1/cwd/x", "read:/proc/1/mem", "read:/proc/1/environ"),
    ).toEqual({
      "read:/proc/1/root/etc/passwd": "EACCES",
      "read:/proc/1/cwd/x": "EACCES",
      "read:/proc/1/mem": "EACCES",
      "read:/proc/1/environ": "EACCES",
    });
  });
});
