import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";

threat("T19: calls with a large kernel behind them", (attacked) => {
  test("are refused", async () => {
    const names = [
      "io_uring_setup",
      "bpf",
      "perf_event_open",
      "userfaultfd",
      "add_key",
      "keyctl",
      "open_by_handle_at",
      "kexec_load",
      "init_module",
      "reboot",
      "swapon",
      "settimeofday",
      "sethostname",
      "syslog",
      "process_vm_readv",
      "pidfd_getfd",
      "personality",
    ];
    expect(await attack(attacked.sandbox, ...names)).toEqual(Object.fromEntries(names.map((name) => [name, "EPERM"])));
  });
});
