import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

declare module "vitest" {
  interface TaskMeta {
    /** why a test was skipped; the closing-line reporter prints it */
    skipReason?: string;
  }
}

/** What a machine may or may not offer. Each entry answers why it is missing, or undefined when it is there. */
const CAPABILITIES = {
  /** bubblewrap works here, as an ordinary uid, with user, network and pid namespaces */
  bwrap: () =>
    succeeds("bwrap", ["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "true"], { ordinary: true }),
  /** a Docker or Podman engine answers */
  docker: () => succeeds("docker", ["version", "--format", "{{.Server.Version}}"]),
  root: () => (process.getuid?.() === 0 ? undefined : "the tests do not run as root"),
  /** the tests do not run as root: for what root may do and others may not */
  curl: () => succeeds("/usr/bin/curl", ["--version"]),
  /** the system's own, since a sandbox sees /usr and no home directory */
  python3: () => succeeds("/usr/bin/python3", ["--version"]),
  git: () => succeeds("git", ["--version"]),
  openssl: () => succeeds("openssl", ["version"]),
  nginx: () => succeeds("nginx", ["-v"]),
  /** Prometheus' checker, of the Debian package prometheus */
  promtool: () => succeeds("promtool", ["--version"]),
  mitmproxy: () => succeeds("mitmdump", ["--version"]),
  /** a C compiler that builds the in-sandbox programs */
  cc: () => succeeds("musl-gcc", ["--version"]),
  /** a Nomad agent answers */
  nomad: () => succeeds("nomad", ["status"]),
  kvm: () => {
    try {
      accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
      return undefined;
    } catch {
      return "/dev/kvm cannot be opened";
    }
  },
  /** memory and pids groups can be made */
  cgroup: () => {
    const v2 = existsSync("/sys/fs/cgroup/cgroup.controllers");
    const parents = v2 ? ["/sys/fs/cgroup"] : ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"];
    for (const parent of parents) {
      const probe = join(parent, `agentkernel-probe-${process.pid}`);
      try {
        mkdirSync(probe);
        rmdirSync(probe);
      } catch (error) {
        return `no group can be made in ${parent} (${error instanceof Error ? error.message : String(error)})`;
      }
    }
    return undefined;
  },
  /** network namespaces, and a cable between two of them */
  netns: () => succeeds("unshare", ["-n", "ip", "link", "add", "agentkernel0", "type", "veth", "peer", "name", "agentkernel1"]),
  /** the npm registry answers, for tests that install real agents */
  npm: () => succeeds("npm", ["ping"], { timeoutMs: 20_000 }),
  /** AGENTKERNEL_LONG is set: tests of minutes */
  long: () => (process.env["AGENTKERNEL_LONG"] ? undefined : "it takes long; set AGENTKERNEL_LONG=1 to run it"),
} as const satisfies Record<string, () => string | undefined>;

export type Capability = keyof typeof CAPABILITIES;

/** Options for `test`, `it` or `describe`; `meta` carries the reason to the reporter. */
export type Requirement = { readonly skip: boolean; readonly meta: { readonly skipReason?: string } };

const answers = new Map<Capability, string | undefined>();

/**
 * Skips a test, with its reason, where the machine lacks something:
 *
 *     describe("a bubblewrap sandbox", requires("bwrap", "curl"), () => { … });
 *     test("limits memory", requires("bwrap", "cgroup"), async () => { … });
 *
 * `AGENTKERNEL_REQUIRE=bwrap,docker` turns the skip into a failure of the file: where something must be there, its tests cannot go
 * missing. `test.skipIf(requires("docker").skip)` works too, without the reason.
 */
export function requires(...names: readonly Capability[]): Requirement {
  const required = new Set((process.env["AGENTKERNEL_REQUIRE"] ?? "").split(",").map((name) => name.trim()));
  for (const name of names) {
    const missing = missingReason(name);
    if (missing === undefined) continue;
    if (required.has(name)) throw new Error(`AGENTKERNEL_REQUIRE asks for ${name}, but ${missing}`);
    return { skip: true, meta: { skipReason: `needs ${name}: ${missing}` } };
  }
  return { skip: false, meta: {} };
}

/** Why a capability is missing here; undefined when it is there. Probed once a worker. */
export function missingReason(name: Capability): string | undefined {
  if (!answers.has(name)) answers.set(name, CAPABILITIES[name]());
  return answers.get(name);
}

function succeeds(command: string, args: readonly string[], options: { ordinary?: boolean; timeoutMs?: number } = {}): string | undefined {
  const asOrdinary = options.ordinary === true && process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const result = spawnSync(command, args, {
    ...asOrdinary,
    cwd: "/",
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: options.timeoutMs ?? 10_000,
    killSignal: "SIGKILL",
  });
  if (result.error) return "code" in result.error && result.error.code === "ENOENT" ? `${command} is not installed` : result.error.message;
  if (result.status === 0) return undefined;
  const said = `${result.stderr}`.trim().split("\n").at(-1) ?? "";
  return `${[command, args[0]].join(" ").trim()} exited with ${result.status ?? result.signal}${said ? `: ${said}` : ""}`;
}
