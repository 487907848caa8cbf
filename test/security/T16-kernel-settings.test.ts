import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";

threat("T16: settings of the kernel", (attacked) => {
  test("cannot be written, not even those of its own namespaces", async () => {
    const paths = [
      "/proc/sys/kernel/core_pattern",
      "/proc/sys/kernel/hostname",
      "/proc/sys/net/ipv4/ip_forward",
      "/proc/sys/net/ipv4/ip_unprivileged_port_start",
      "/proc/sys/kernel/shmmax",
      "/proc/sys/vm/overcommit_memory",
      "/proc/sysrq-trigger",
      "/proc/pressure/memory",
      "/sys/fs/cgroup/cgroup.procs",
      "/proc/sys/kernel/pid_max",
      "/proc/sys/user/max_user_namespaces",
    ];
    const answers = await attack(attacked.sandbox, ...paths.map((path) => `write:${path}`));
    for (const [name, answer] of Object.entries(answers)) expect(answer, name).toMatch(/^(EROFS|EACCES|ENOENT|EPERM)$/);
    expect((await attack(attacked.sandbox, "oom_score"))["oom_score"]).toMatch(/EACCES|EPERM/);
  });
});
