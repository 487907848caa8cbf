import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T07: writing where nothing may be written", (attacked) => {
  const closed = [
    "/",
    "/usr",
    "/usr/bin",
    "/etc",
    "/bin",
    "/lib",
    "/dev",
    "/run",
    "/var",
    "/home",
    "/proc/sys/kernel",
    "/opt/attack",
    "/run/agentkernel",
  ];

  test("fails in every directory but the four", async () => {
    const { stdout } = await runIn(attacked.sandbox, [
      "/bin/sh",
      "-c",
      'for d; do touch "$d/made" 2>/dev/null && echo "WROTE $d"; mkdir "$d/dir" 2>/dev/null && echo "MADE $d"; done; true',
      "sh",
      ...closed,
    ]);
    expect(stdout).toBe("");
  });

  test("files of the system cannot be opened for writing, removed or renamed", async () => {
    const { stdout } = await runIn(
      attacked.sandbox,
      'for f in /etc/passwd /etc/resolv.conf /etc/hosts /usr/bin/env /run/agentkernel/init; do (: >> $f) 2>/dev/null && echo "OPENED $f"; rm -f $f 2>/dev/null && echo "REMOVED $f"; mv $f /tmp/ 2>/dev/null && echo "MOVED $f"; done; true',
    );
    expect(stdout).toBe("");
  });

  test("and they cannot be remounted", async () => {
    expect(await attack(attacked.sandbox, "remount", "mount", "umount", "mount_setattr")).toEqual({
      remount: "EPERM",
      mount: "EPERM",
      umount: "EPERM",
      mount_setattr: "EPERM",
    });
  });

  test("nor does a file get attributes that file systems and the kernel trust", async () => {
    const names = ["trusted.overlay.opaque", "security.capability"].map((name) => `xattr:${name}`);
    for (const [name, answer] of Object.entries(await attack(attacked.sandbox, ...names)))
      expect(answer, name).toMatch(/^(?:EPERM|EOPNOTSUPP)$/);
  });
});
