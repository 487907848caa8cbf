import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T29: what the kernel tells about the host", (attacked) => {
  test("is closed or empty", async () => {
    const { stdout } = await runIn(
      attacked.sandbox,
      "cat /proc/cmdline /proc/kallsyms /proc/keys /proc/key-users /proc/kcore /proc/kmsg /proc/timer_list /proc/modules /proc/interrupts /dev/kmsg 2>/dev/null; ls /proc/pressure /proc/fs /proc/acpi 2>/dev/null | grep -v :; dmesg 2>/dev/null; true",
    );
    expect(stdout.trim()).toBe("");
  });

  test("the calls for it are refused", async () => {
    expect(await attack(attacked.sandbox, "syslog", "perf_event_open")).toEqual({ syslog: "EPERM", perf_event_open: "EPERM" });
  });
});
