import { lstat, readlink } from "node:fs/promises";
import { errnoOf } from "../../base/error.ts";

/** What of the host's file system stands in a sandbox, read-only. Looked at once: it does not change while we run. */
export type HostTree = {
  /** bound read-only at the same path */
  readonly binds: readonly string[];
  /** [target as written in the link, path] */
  readonly symlinks: readonly (readonly [string, string])[];
  /** files of /proc that tell about the host and that exist here */
  readonly maskedFiles: readonly string[];
  readonly maskedDirectories: readonly string[];
  /** the host's own bundle of certificates is where Debian has it */
  readonly hasBundle: boolean;
};

export const HOST_BUNDLE = "/etc/ssl/certs/ca-certificates.crt";

/** Merged-usr systems have symlinks here, older ones directories. */
const TOP = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/** What programs read in /etc and that says nothing about the host's users, keys or services. */
const ETC = [
  "/etc/alternatives",
  "/etc/debian_version",
  "/etc/fonts",
  "/etc/ld.so.cache",
  "/etc/ld.so.conf",
  "/etc/ld.so.conf.d",
  "/etc/localtime",
  "/etc/mime.types",
  "/etc/os-release",
  "/etc/protocols",
  "/etc/services",
  "/etc/ssl/openssl.cnf",
  "/etc/terminfo",
  "/etc/timezone",
];

const MASKED_FILES = [
  "/proc/cmdline",
  "/proc/diskstats",
  "/proc/interrupts",
  "/proc/kallsyms",
  "/proc/kcore",
  "/proc/key-users",
  "/proc/keys",
  "/proc/kmsg",
  "/proc/latency_stats",
  "/proc/modules",
  "/proc/partitions",
  "/proc/sched_debug",
  "/proc/sysrq-trigger",
  "/proc/timer_list",
];
const MASKED_DIRECTORIES = ["/proc/acpi", "/proc/asound", "/proc/fs", "/proc/pressure", "/proc/scsi"];

export async function readHostTree(): Promise<HostTree> {
  const binds: string[] = ["/usr"];
  const symlinks: (readonly [string, string])[] = [];
  for (const path of [...TOP, ...ETC]) {
    const kind = await kindOf(path);
    if (kind === "symlink") symlinks.push([await readlink(path), path]);
    else if (kind !== "absent") binds.push(path);
  }
  const existing = async (paths: readonly string[]): Promise<string[]> => {
    const kinds = await Promise.all(paths.map(kindOf));
    return paths.filter((_, index) => kinds[index] !== "absent");
  };
  return { binds, symlinks, maskedFiles: await existing(MASKED_FILES), maskedDirectories: await existing(MASKED_DIRECTORIES), hasBundle: (await kindOf(HOST_BUNDLE)) === "present" };
}

async function kindOf(path: string): Promise<"symlink" | "present" | "absent"> {
  try {
    return (await lstat(path)).isSymbolicLink() ? "symlink" : "present";
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "absent";
    throw error;
  }
}
