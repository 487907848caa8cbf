import type { Server } from "node:net";
import type { Socket as DatagramSocket } from "node:dgram";
import type { Duplex, Readable, Writable } from "node:stream";
import type { Log } from "../base/log.ts";

/** The whole contract between the sandbox and a way of running it. Types only, no logic. */

export type BackendName = "bubblewrap" | "docker" | "nomad" | "qemu" | "fake";

/** How a limit is held. `none`: it was a profile's default, the machine cannot hold it, and `info` says so. */
export type EnforcedBy = "cgroup" | "watchdog" | "rlimit" | "tmpfs" | "affinity" | "backend" | "none";

/** What a backend can promise, as data; shared code branches on this and on nothing else. */
export type Capabilities = {
  /** every TCP connection meets the gateway without proxy variables */
  readonly transparentEgress: boolean;
  readonly tty: boolean;
  readonly writableRoot: boolean;
  readonly images: boolean;
  /** sandboxes outlive the process that made them and can be found again */
  readonly adopt: boolean;
  readonly bindMounts: boolean;
  readonly limits: Readonly<Record<"memory" | "cpu" | "pids" | "files" | "disk", EnforcedBy>>;
};

export type ProbeCheck = {
  readonly name: string;
  readonly ok: boolean;
  /** a failed optional check does not make the backend unavailable */
  readonly required: boolean;
  /** what was found, one line */
  readonly detail: string;
  /** the command or setting that fixes it */
  readonly remedy?: string;
};

export type ProbeReport = { readonly available: boolean; readonly checks: readonly ProbeCheck[] };

/** A directory of the host inside the sandbox. */
export type Mount = { readonly source: string; readonly target: string; readonly readOnly: boolean };

export type SandboxLimits = {
  readonly memoryBytes: number | null;
  /** cores, may be a fraction */
  readonly cpus: number | null;
  readonly pids: number | null;
  readonly openFiles: number | null;
  /** size of each scratch file system (/tmp, /dev/shm) */
  readonly scratchBytes: number | null;
  /** which of the above were asked for by the caller: they are refused when they cannot be enforced */
  readonly required: readonly ("memory" | "cpu" | "pids" | "files" | "disk")[];
};

/** Sockets that listen inside the sandbox's network and accept on the host. Whoever takes them owns them and closes them. */
export type SandboxListeners = {
  /** one per port; `socket.localAddress` and `localPort` are the original destination */
  readonly tcp: ReadonlyMap<number, Server>;
  /** UDP 53 of the sandbox's name server; absent where the backend brings its own resolver */
  readonly dns?: DatagramSocket;
};

/** What the sandbox sees of the network. With `none` there are no listeners and no route but loopback. */
export type SandboxNetwork =
  | { readonly kind: "none" }
  | {
      readonly kind: "gateway";
      /** TCP ports to listen on, 53, 80 and 443 among them */
      readonly ports: readonly number[];
      /** takes the listeners; resolves when the gateway serves them, and only then the first command may start */
      readonly attach: (listeners: SandboxListeners) => Promise<void>;
    };

/** A host uid and gid, never 0. */
export type FileOwner = { readonly uid: number; readonly gid: number };

export type SandboxSpec = {
  readonly uuid: string;
  readonly name: string;
  readonly hostname: string;
  /** environment of every exec, before its own */
  readonly env: Readonly<Record<string, string>>;
  /** working directory of execs that name none */
  readonly workdir: string;
  /** kept over stop and start; mounted at /home/agent */
  readonly homeDir: string;
  /** mounted read-write at /workspace, last; absent: an empty scratch directory */
  readonly workspaceDir?: string;
  readonly mounts: readonly Mount[];
  /** generated files (CA bundle, passwd …): absolute path inside to content; read-only */
  readonly files: Readonly<Record<string, string>>;
  readonly limits: SandboxLimits;
  readonly network: SandboxNetwork;
  readonly image?: string;
  /** uid and gid on the host that own workspace and home, where the caller may choose; absent: the backend picks */
  readonly owner?: FileOwner;
  /**
   * Called once, when the backend has decided who owns the sandbox's files and before anything of it runs: hands home and
   * workspace over to that owner. Not called by a backend that runs everything as the caller.
   */
  readonly prepare?: (owner: FileOwner) => Promise<void>;
  /** where a backend that needs one makes its private directory of this sandbox on the host, with mode 0700; removed with the sandbox */
  readonly runDir: string;
};

export type EndReason = {
  readonly kind: "stopped" | "exited" | "memory" | "killed" | "gateway" | "backend" | "timeout";
  readonly message: string;
};

export interface BackendSandbox extends AsyncDisposable {
  /** settles once, for whatever reason came first; never rejects */
  readonly ended: Promise<EndReason>;
  /** how each limit is held for this sandbox */
  readonly limits: Readonly<Record<"memory" | "cpu" | "pids" | "files" | "disk", EnforcedBy>>;
  exec(request: ExecRequest, options: { readonly signal: AbortSignal }): Promise<BackendExec>;
  /** a TCP connection to a port on the sandbox's loopback */
  dial(port: number, options: { readonly signal: AbortSignal }): Promise<Duplex>;
  /** ends it for this reason, everything inside killed; idempotent */
  stop(reason: EndReason): Promise<void>;
}

export type ExecRequest = {
  /** argv[0] is searched on the PATH of `env` */
  readonly argv: readonly string[];
  /** the complete environment */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** a pty; stderr then comes in stdout */
  readonly tty?: { readonly rows: number; readonly cols: number };
};

export type ExitStatus = {
  /** 0–255; null when a signal ended it */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
};

/** Signals a caller may send to a command. */
export type ExecSignal =
  | "SIGHUP"
  | "SIGINT"
  | "SIGQUIT"
  | "SIGTERM"
  | "SIGKILL"
  | "SIGUSR1"
  | "SIGUSR2"
  | "SIGWINCH"
  | "SIGTSTP"
  | "SIGCONT"
  | "SIGSTOP";

export interface BackendExec {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** pid inside the sandbox */
  readonly pid: number;
  /** settles after stdout and stderr were drained; rejects when the sandbox ended first */
  readonly exited: Promise<ExitStatus>;
  /** to the command's process group */
  kill(signal: ExecSignal): void;
  resize(size: { readonly rows: number; readonly cols: number }): void;
}

export interface Backend {
  readonly name: BackendName;
  readonly capabilities: Capabilities;
  /** can it run here? every failed requirement comes with the command that fixes it */
  probe(signal: AbortSignal): Promise<ProbeReport>;
  /** begins what the first `create` would wait for; what is missing shows there */
  prepare?(): void;
  /** rejects with nothing left behind */
  create(spec: SandboxSpec, options: { readonly signal: AbortSignal; readonly log: Log }): Promise<BackendSandbox>;
  /** find again what an earlier process left behind; absent when the backend cannot */
  adopt?(
    record: { readonly uuid: string; readonly runDir: string },
    options: { readonly signal: AbortSignal; readonly log: Log },
  ): Promise<BackendSandbox | undefined>;
}
