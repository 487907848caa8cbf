import { AppError } from "../../base/error.ts";
import type { HostTree } from "./host-tree.ts";
import { INSIDE_HOME, INSIDE_INIT, INSIDE_UID, INSIDE_WORKSPACE } from "./system-files.ts";

export type BoundPath = { readonly fd: number; readonly target: string; readonly readOnly: boolean };

export type Layout = {
  readonly hostname: string;
  readonly tree: HostTree;
  /** bytes of the root's own file system: it holds only mount points and generated files */
  readonly rootBytes: number;
  /** directory of stage 1's scratch file system, with tmp, shm and workspace in it */
  readonly scratch: string;
  readonly initPath: string;
  /** an empty file, for masks */
  readonly emptyPath: string;
  /** staged directory that stands at /etc */
  readonly etcPath: string;
  /** staged files that stand at `target` */
  readonly fileBinds: readonly { readonly source: string; readonly target: string }[];
  /** contents that bwrap reads from a descriptor */
  readonly fileData: readonly { readonly fd: number; readonly target: string }[];
  readonly mounts: readonly BoundPath[];
  readonly homeFd: number;
  /** absent: scratch */
  readonly workspaceFd: number | undefined;
  readonly seccompFd: number;
};

/** Where a caller's mount may not stand: over what holds the sandbox together, or beneath what the sandbox can write to. */
const RESERVED = [
  "/",
  "/dev",
  "/etc",
  "/home",
  "/proc",
  "/run",
  "/sys",
  "/usr",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/var",
];
const RESERVED_TREES = ["/dev", "/proc", "/run/agentkernel", "/sys", "/tmp", "/var/tmp", INSIDE_HOME, INSIDE_WORKSPACE];

/** @throws AppError VALIDATION */
export function assertTargets(mounts: readonly { readonly target: string }[], files: readonly string[]): void {
  const targets = mounts.map((mount) => mount.target);
  for (const path of [...targets, ...files]) {
    if (!/^(\/[^/\0]+)+$/.test(path) || path.split("/").some((part) => part === "." || part === ".."))
      throw new AppError("VALIDATION", `not a plain absolute path inside the sandbox: ${JSON.stringify(path)}`);
    const within = RESERVED_TREES.find((tree) => path === tree || path.startsWith(`${tree}/`));
    if (within !== undefined) throw new AppError("VALIDATION", `nothing can be mounted at ${path}: ${within} belongs to the sandbox`);
  }
  for (const target of targets) {
    if (RESERVED.includes(target)) throw new AppError("VALIDATION", `nothing can be mounted over ${target}`);
    const other = [...targets, ...files].find((path) => path !== target && path.startsWith(`${target}/`));
    // its mount point would be made inside a directory of the host's
    if (other !== undefined) throw new AppError("VALIDATION", `${other} lies beneath the mount ${target}`);
  }
  if (new Set([...targets, ...files]).size !== targets.length + files.length)
    throw new AppError("VALIDATION", "two mounts have the same target");
}

/**
 * bwrap's options. The order is the defence: every mount point is made in our own root first, what the sandbox can write to is
 * bound last and nothing is made beneath it (CVE-2026-87766: bwrap before 0.12 follows symlinks there, onto the host).
 */
export function bwrapArguments(layout: Layout): readonly string[] {
  const { tree } = layout;
  const directories = ["/etc", "/home", INSIDE_HOME, "/proc", "/dev", "/tmp", "/var", "/run", "/run/agentkernel", INSIDE_WORKSPACE];
  return [
    // each named: --unshare-all holds "try" forms that would hide a failure; the network's is stage 1's
    ...["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup"],
    ...["--uid", String(INSIDE_UID), "--gid", String(INSIDE_UID)],
    ...["--disable-userns", "--assert-userns-disabled", "--cap-drop", "ALL"],
    ...["--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--hostname", layout.hostname],
    ...["--size", String(layout.rootBytes), "--tmpfs", "/"],
    ...directories.flatMap((path) => ["--dir", path]),
    ...["--symlink", "/tmp", "/var/tmp", "--symlink", "/run", "/var/run"],
    ...tree.binds.flatMap((path) => ["--ro-bind", path, path]),
    ...["--ro-bind", layout.etcPath, "/etc"],
    ...tree.etcBinds.flatMap((path) => ["--ro-bind", path, path]),
    ...tree.symlinks.flatMap(([target, path]) => ["--symlink", target, path]),
    ...layout.fileBinds.flatMap(({ source, target }) => ["--ro-bind", source, target]),
    ...layout.fileData.flatMap(({ fd, target }) => ["--perms", "0444", "--ro-bind-data", String(fd), target]),
    ...["--ro-bind", layout.initPath, INSIDE_INIT],
    ...["--proc", "/proc"],
    // sysctls of the sandbox's own namespaces are writable for it otherwise
    ...["--ro-bind", "/proc/sys", "/proc/sys"],
    ...tree.maskedFiles.flatMap((path) => ["--ro-bind", layout.emptyPath, path]),
    ...tree.maskedDirectories.flatMap((path) => ["--size", "4096", "--tmpfs", path, "--remount-ro", path]),
    ...["--dev", "/dev", "--bind", `${layout.scratch}/shm`, "/dev/shm", "--remount-ro", "/dev"],
    ...["--bind", `${layout.scratch}/tmp`, "/tmp"],
    ...layout.mounts.flatMap(({ fd, target, readOnly }) => [readOnly ? "--ro-bind-fd" : "--bind-fd", String(fd), target]),
    ...["--remount-ro", "/"],
    ...["--bind-fd", String(layout.homeFd), INSIDE_HOME],
    ...(layout.workspaceFd === undefined
      ? ["--bind", `${layout.scratch}/workspace`, INSIDE_WORKSPACE]
      : ["--bind-fd", String(layout.workspaceFd), INSIDE_WORKSPACE]),
    ...["--chdir", "/", "--seccomp", String(layout.seccompFd)],
  ];
}

/** As `--args FD` reads them. */
export function encodeArguments(args: readonly string[]): Buffer {
  for (const arg of args) if (arg.includes("\0")) throw new AppError("VALIDATION", "a NUL byte in an argument");
  return Buffer.from(args.map((arg) => `${arg}\0`).join(""));
}
