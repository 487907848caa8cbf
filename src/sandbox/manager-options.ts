import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { NewEvent } from "../schema/event.ts";
import type { Backend, EndReason, SandboxNetwork } from "./backend.ts";
import type { EgressLink } from "./live.ts";
import type { DetachedRepository, SandboxRecord, SandboxRepository } from "./record.ts";
import type { WorkspaceResult } from "./workspace/session.ts";

/** What a sandbox is given of the outside: made by the composition root, which knows gateway, policy and secrets. */
export type SandboxSurroundings = {
  readonly network: SandboxNetwork;
  readonly env: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, string>>;
  /** written into the home directory before anything runs there, by path below it; the sandbox may change them */
  readonly homeFiles?: Readonly<Record<string, string>>;
  /** the gateway's side, once the listeners were attached */
  readonly link: () => EgressLink | undefined;
};

export type ManagerOptions = {
  readonly backends: ReadonlyMap<string, Backend>;
  readonly repository: SandboxRepository;
  readonly detached: DetachedRepository;
  /** one folder per sandbox; mode 0711 so that sandbox uids can pass through */
  readonly directory: string;
  readonly surroundings: (record: SandboxRecord) => Promise<SandboxSurroundings>;
  readonly report: (event: NewEvent) => Promise<unknown>;
  /** drops what is kept for a sandbox elsewhere: its own secret values, its rules */
  readonly forget: (record: SandboxRecord) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

export type ExecCall = {
  readonly argv: readonly string[];
  /** added to the sandbox's own */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly tty?: { readonly rows: number; readonly cols: number };
  readonly timeoutMs?: number;
};

export type RemoveOptions = {
  readonly apply: boolean;
  readonly reason?: EndReason;
  /** asked when its turn has come: then it stays as it is */
  readonly unless?: (record: SandboxRecord) => boolean;
  /** it stays, stopped, when its workspace copy holds changes that were not written back */
  readonly keepChanged?: boolean;
};

export type StopOutcome = { readonly record: SandboxRecord; readonly workspace: WorkspaceResult | undefined };
