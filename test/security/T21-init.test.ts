import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T21: the sandbox's own init", (attacked) => {
  test("can be neither traced nor read nor written, and signals do nothing to it", async () => {
    expect(
      await attack(
        attacked.sandbox,
        "ptrace_init",
        "ptrace_self",
        "read:/proc/1/mem",
        "write:/proc/1/mem",
        "read:/proc/1/maps",
        "kill_init",
        "stop_init",
      ),
    ).toEqual({
      ptrace_init: "EPERM",
      ptrace_self: "EPERM",
      "read:/proc/1/mem": "EACCES",
      "write:/proc/1/mem": "EACCES",
      "read:/proc/1/maps": "EACCES",
      // the kernel takes them and drops them: pid 1 of a namespace cannot be killed from within
      kill_init: "ok",
      stop_init: "ok",
    });
    expect((await runIn(attacked.sandbox, "echo alive")).stdout).toBe("alive\n");
  });

  test("its socket cannot be taken from it", async () => {
    const { stdout } = await runIn(attacked.sandbox, "ls /proc/1/fd 2>&1; cat /proc/1/fd/4 2>&1; true");
    expect(stdout).toMatch(/Permission denied/);
    expect(stdout).not.toMatch(/^4$/m);
  });
});
