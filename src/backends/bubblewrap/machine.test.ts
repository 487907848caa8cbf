import { expect, test } from "vitest";
import { isOlder, parseBwrapVersion } from "./find-bwrap.ts";
import { allowedCores } from "./machine.ts";
import { namespaceRemedy } from "./namespace-remedy.ts";

test("bwrap's version is read and compared by number", () => {
  expect(parseBwrapVersion("bubblewrap 0.8.0\n")).toEqual([0, 8, 0]);
  expect(parseBwrapVersion("bubblewrap 0.12")).toEqual([0, 12, 0]);
  expect(parseBwrapVersion("something else")).toBeUndefined();
  expect(isOlder([0, 8, 0], [0, 12, 0])).toBe(true);
  expect(isOlder([0, 12, 0], [0, 12, 0])).toBe(false);
  expect(isOlder([0, 11, 9], [0, 12, 0])).toBe(true);
  expect(isOlder([1, 0, 0], [0, 12, 0])).toBe(false);
});

test("cores are read from the kernel's list", () => {
  expect(allowedCores("Name:\tx\nCpus_allowed_list:\t0-3,8,10-11\n")).toEqual([0, 1, 2, 3, 8, 10, 11]);
  expect(allowedCores("Cpus_allowed_list:\t5")).toEqual([5]);
});

test("each known reason for missing namespaces has its remedy", () => {
  const with_ = (path: string, value: string) => namespaceRemedy((asked) => (asked === path ? value : undefined))?.remedy;
  expect(with_("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")).toContain(
    "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
  );
  expect(with_("/proc/sys/kernel/unprivileged_userns_clone", "0")).toContain("kernel.unprivileged_userns_clone=1");
  expect(with_("/proc/sys/user/max_net_namespaces", "0")).toContain("user.max_net_namespaces=15000");
});
