import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { errnoOf } from "../../base/error.ts";

/** A file or symlink of a staged directory. */
export type TreeEntry = { readonly content: string | Buffer } | { readonly symlink: string } | { readonly directory: true };

/** What of the host's file system stands in a sandbox, read-only. Looked at once: it does not change while we run. */
export type HostTree = {
  /** bound read-only at the same path */
  readonly binds: readonly string[];
  /** [target as written in the link, path] */
  readonly symlinks: readonly (readonly [string, string])[];
  /** by path below /etc; copied into one directory that is mounted as a whole, since each mount costs a tenth of a millisecond */
  readonly etc: Readonly<Record<string, TreeEntry>>;
  /** directories bound below /etc */
  readonly etcBinds: readonly string[];
  /** files of /proc that tell about the host and that anybody may read */
  readonly maskedFiles: readonly string[];
  readonly maskedDirectories: readonly string[];
};

/** Merged-usr systems have symlinks here, older ones directories. */
const TOP = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/** What programs read in /etc and that says nothing about the host's users, keys or services. */
const ETC_FILES = [
  "debian_version",
  "ld.so.cache",
  "ld.so.conf",
  "localtime",
  "mime.types",
  "os-release",
  "protocols",
  "services",
  "ssl/openssl.cnf",
  "ssl/certs/ca-certificates.crt",
  "timezone",
];
const ETC_DIRECTORIES = ["alternatives", "fonts"];

const MASKED_FILES = [
  "cmdline",
  "interrupts",
  "kallsyms",
  "kcore",
  "key-users",
  "keys",
  "kmsg",
  "latency_stats",
  "modules",
  "sched_debug",
  "timer_list",
];
const MASKED_DIRECTORIES = ["acpi", "asound", "fs", "pressure", "scsi"];
const OTHERS = 0o006;

/** Synchronous: three dozen looks at what the kernel remembers take a millisecond, and by way of the thread pool the time of a whole start. */
export function readHostTree(): HostTree {
  const binds: string[] = ["/usr"];
  const symlinks: (readonly [string, string])[] = [];
  for (const path of TOP) {
    const info = lookAt(path);
    if (info?.isSymbolicLink() === true) symlinks.push([readlinkSync(path), path]);
    else if (info !== undefined) binds.push(path);
  }
  const etc: Record<string, TreeEntry> = {};
  for (const name of ETC_FILES) {
    const path = `/etc/${name}`;
    const info = lookAt(path);
    if (info?.isSymbolicLink() === true) etc[name] = { symlink: readlinkSync(path) };
    else if (info?.isFile() === true) etc[name] = { content: readFileSync(path) };
  }
  const etcBinds: string[] = [];
  for (const name of ETC_DIRECTORIES) {
    if (lookAt(`/etc/${name}`)?.isDirectory() !== true) continue;
    etc[name] = { directory: true };
    etcBinds.push(`/etc/${name}`);
  }
  const maskedFiles: string[] = [];
  for (const name of MASKED_FILES) {
    // the rest is closed by its mode: nobody inside is uid 0 of the host
    const info = lookAt(`/proc/${name}`);
    if (info !== undefined && (info.mode & OTHERS) !== 0) maskedFiles.push(`/proc/${name}`);
  }
  const maskedDirectories: string[] = [];
  for (const name of MASKED_DIRECTORIES) if (lookAt(`/proc/${name}`) !== undefined) maskedDirectories.push(`/proc/${name}`);
  return { binds, symlinks, etc, etcBinds, maskedFiles, maskedDirectories };
}

function lookAt(path: string) {
  try {
    return lstatSync(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
