import { chmod, mkdir, readdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T03: a symlink that the sandbox planted for its next start (CVE-2026-87766)", (attacked) => {
  test("makes nothing appear on the host, whatever is mounted", async () => {
    const outside = join(attacked.harness.base, "outside");
    const workspaceDir = join(attacked.harness.base, "ws");
    for (const path of [outside, workspaceDir]) await mkdir(path, { mode: 0o777 });
    await chmod(outside, 0o777);
    const first = await attacked.create({ workspaceDir });
    for (const place of ["/workspace", "/home/agent", "/tmp"])
      await runIn(first, [
        "/bin/sh",
        "-c",
        'for n in sub .git .agentkernel .ssh etc; do ln -sfn "/oldroot$1" $2/$n; ln -sfn "$1" $2/direct-$n; done',
        "sh",
        outside,
        place,
      ]);
    await first.stop({ kind: "stopped", message: "to start again" });
    // mount points beneath what it can write to are refused, so there is nothing for the symlink to be followed by
    for (const target of ["/workspace/sub/x", "/home/agent/sub/x", "/tmp/sub/x"]) {
      await expect(attacked.create({ workspaceDir, mounts: [{ source: outside, target, readOnly: true }] })).rejects.toMatchObject({
        code: "VALIDATION",
      });
      await expect(attacked.create({ workspaceDir, files: { [target]: "x" } })).rejects.toMatchObject({ code: "VALIDATION" });
    }
    const second = await attacked.create({ workspaceDir, files: { "/etc/generated": "x" } });
    await runIn(second, "touch /workspace/sub/made /workspace/direct-sub/made; true");
    expect(await readdir(outside)).toEqual([]);
  });

  test("a workspace that has become a symlink is not followed", async () => {
    const outside = join(attacked.harness.base, "elsewhere");
    await mkdir(outside);
    await symlink(outside, join(attacked.harness.base, "swapped"));
    await expect(attacked.create({ workspaceDir: join(attacked.harness.base, "swapped") })).rejects.toMatchObject({ code: "VALIDATION" });
  });
});
