import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";

threat("T18: mounts and roots", (attacked) => {
  test("every call that changes them is refused", async () => {
    const names = ["setns", "mount", "umount", "pivot_root", "chroot", "fsopen", "open_tree", "move_mount", "mount_setattr"];
    expect(await attack(attacked.sandbox, ...names)).toEqual(Object.fromEntries(names.map((name) => [name, "EPERM"])));
  });
});
