import { existsSync, readFileSync } from "node:fs";
import { errnoOf } from "../../base/error.ts";

/** Why namespaces may be refused here, and the command that permits them; undefined when nothing known stands in the way. */
export function namespaceRemedy(
  read: (path: string) => string | undefined = readSetting,
): { readonly detail: string; readonly remedy: string } | undefined {
  // Ubuntu 23.10 and later
  if (read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") === "1")
    return {
      detail: "AppArmor takes all rights from unprivileged user namespaces (kernel.apparmor_restrict_unprivileged_userns = 1)",
      remedy: persistent("kernel.apparmor_restrict_unprivileged_userns", "0"),
    };
  // Debian's own switch
  if (read("/proc/sys/kernel/unprivileged_userns_clone") === "0")
    return {
      detail: "user namespaces are switched off (kernel.unprivileged_userns_clone = 0)",
      remedy: persistent("kernel.unprivileged_userns_clone", "1"),
    };
  for (const kind of ["user", "net", "pid", "mnt"])
    if (read(`/proc/sys/user/max_${kind}_namespaces`) === "0")
      return {
        detail: `no ${kind} namespaces may be made (user.max_${kind}_namespaces = 0)`,
        remedy: persistent(`user.max_${kind}_namespaces`, "15000"),
      };
  if (isInContainer())
    return {
      detail: "this is a container, whose engine keeps namespaces or /proc from it",
      remedy:
        "start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined",
    };
  return undefined;
}

function persistent(name: string, value: string): string {
  return `sysctl -w ${name}=${value} && echo '${name} = ${value}' > /etc/sysctl.d/60-agentkernel.conf`;
}

function isInContainer(): boolean {
  return existsSync("/.dockerenv") || existsSync("/run/.containerenv");
}

function readSetting(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1").trim();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EACCES") return undefined;
    throw error;
  }
}
