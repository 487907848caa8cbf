import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T01: secrets of the host", (attacked) => {
  test("are not there", async () => {
    const canary = join(attacked.harness.base, "host-canary");
    await writeFile(canary, "canary-of-the-host\n", { mode: 0o644 });
    const paths = [
      "/etc/shadow",
      "/etc/ssh",
      "/root",
      "/root/.ssh/id_rsa",
      "/root/.aws/credentials",
      "/home/agent/.aws/credentials",
      ...readdirSync("/home").map((name) => `/home/${name}/.ssh`),
      "/home/agent/.ssh/id_rsa",
      "/var/run/docker.sock",
      "/run/docker.sock",
      "/var/lib",
      "/sys",
      "/boot",
      canary,
      attacked.harness.base,
    ];
    const { stdout, stderr } = await runIn(attacked.sandbox, [
      "/bin/sh",
      "-c",
      'for p; do cat "$p" 2>/dev/null || ls -A "$p" 2>/dev/null && echo "FOUND $p"; done; true',
      "sh",
      ...paths,
    ]);
    expect(stdout).toBe("");
    expect(stderr).toBe("");
  });

  test("nor are the host's users", async () => {
    const { stdout } = await runIn(attacked.sandbox, "cut -d: -f1 /etc/passwd | tr '\\n' ' '; ls -A /home");
    expect(stdout).toBe("root agent nobody agent\n");
  });
});
