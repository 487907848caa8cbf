import { describe, expect, test } from "vitest";
import { assertTargets, bwrapArguments, encodeArguments, type Layout } from "./bwrap-arguments.ts";

const layout: Layout = {
  hostname: "box",
  tree: {
    binds: ["/usr"],
    symlinks: [["usr/bin", "/bin"]],
    etc: {},
    etcBinds: ["/etc/alternatives"],
    maskedFiles: ["/proc/keys"],
    maskedDirectories: ["/proc/pressure"],
  },
  rootBytes: 4096,
  scratch: "/stage/scratch",
  initPath: "/stage/init",
  emptyPath: "/stage/empty",
  etcPath: "/stage/etc",
  fileBinds: [],
  fileData: [{ fd: 7, target: "/etc/hosts" }],
  mounts: [{ fd: 8, target: "/opt/x", readOnly: true }],
  homeFd: 9,
  workspaceFd: 10,
  seccompFd: 6,
};

describe("bwrap's options", () => {
  const args = bwrapArguments(layout);
  const at = (...words: readonly string[]): number =>
    args.findIndex((_, index) => words.every((word, offset) => args[index + offset] === word));

  test("make every mount point before anything that the sandbox can write to is bound", () => {
    const firstWritable = Math.min(at("--bind-fd", "9", "/home/agent"), at("--bind-fd", "10", "/workspace"));
    expect(firstWritable).toBeGreaterThan(at("--remount-ro", "/"));
    for (const option of ["--dir", "--tmpfs", "--symlink", "--ro-bind-data", "--ro-bind", "--proc", "--dev"])
      expect(args.lastIndexOf(option), option).toBeLessThan(firstWritable);
  });

  test("bind the workspace last of all mounts", () => {
    const mounts = args.flatMap((arg, index) => (/bind|tmpfs|^--dir$|remount/.test(arg) ? [index] : []));
    expect(Math.max(...mounts)).toBe(at("--bind-fd", "10", "/workspace"));
  });

  test("hold what protects the host", () => {
    for (const option of [
      "--unshare-user",
      "--unshare-pid",
      "--unshare-ipc",
      "--unshare-uts",
      "--unshare-cgroup",
      "--disable-userns",
      "--assert-userns-disabled",
      "--die-with-parent",
      "--new-session",
      "--as-pid-1",
      "--clearenv",
    ])
      expect(args).toContain(option);
    expect(at("--cap-drop", "ALL")).toBeGreaterThan(0);
    expect(at("--seccomp", "6")).toBeGreaterThan(0);
    expect(at("--ro-bind", "/proc/sys", "/proc/sys")).toBeGreaterThan(at("--proc", "/proc"));
    expect(at("--ro-bind", "/stage/empty", "/proc/keys")).toBeGreaterThan(at("--proc", "/proc"));
    expect(args).not.toContain("--share-net");
    expect(args).not.toContain("--setenv");
  });

  test("give scratch where there is no workspace", () => {
    const without = bwrapArguments({ ...layout, workspaceFd: undefined });
    expect(without.join(" ")).toContain("--bind /stage/scratch/workspace /workspace");
  });
});

describe("targets of mounts and files", () => {
  const allowed = [
    "/opt/node",
    "/data",
    "/etc/motd",
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/local/share/x",
    "/srv/a b",
    "/homework",
    "/tmpfs",
  ];
  test.each(allowed)("%s is allowed", (path) => assertTargets([{ target: path }], []));

  const refused = [
    "/",
    "/etc",
    "/usr",
    "/proc/1",
    "/dev/x",
    "/tmp/x",
    "/var/tmp/x",
    "/sys/fs",
    "/workspace",
    "/workspace/x",
    "/home/agent",
    "/home/agent/.x",
    "/run/agentkernel/init",
    "x",
    "",
    "/a//b",
    "/a/",
    "/a/./b",
    "/a/../b",
    "/a\0b",
  ];
  test.each(refused)("%j is refused", (path) => {
    expect(() => assertTargets([{ target: path }], [])).toThrow(expect.objectContaining({ code: "VALIDATION" }));
  });

  test("one beneath another, or the same twice, is refused", () => {
    expect(() => assertTargets([{ target: "/data" }, { target: "/data/x" }], [])).toThrow(/beneath/);
    expect(() => assertTargets([{ target: "/data" }], ["/data/x"])).toThrow(/beneath/);
    expect(() => assertTargets([{ target: "/data" }, { target: "/data" }], [])).toThrow(/same target/);
    assertTargets([{ target: "/data" }, { target: "/data2" }], []);
  });
});

test("options are encoded with a NUL after each, and none may hold one", () => {
  expect(encodeArguments(["--a", "", "b"]).toString("latin1")).toBe("--a\0\0b\0");
  expect(() => encodeArguments(["a\0--bind"])).toThrow(/NUL/);
});
