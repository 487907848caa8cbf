import type { Readable, Writable } from "node:stream";
import type { DeadLetter } from "../events/delivery/dead-letters.ts";
import type { DeliveryRequest } from "../events/delivery/requests.ts";
import type { EventLog } from "../events/log.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Actor, Event, EventType, LlmEvent } from "../schema/event.ts";
import type {
  CreateSandboxRequest,
  DetachedExec,
  DetachedLogs,
  DoctorReport,
  ExecRequestBody,
  RunRequest,
  SandboxInfo,
  StatusReport,
  UsageEntry,
} from "../schema/api.ts";
import type { AuditReport, AuditVerifyRequest, ChainHeadInfo, StreamStatus } from "../schema/delivery.ts";
import type { EventFormat } from "../schema/ocsf-version.ts";
import type { BudgetReport, BudgetRequest } from "../schema/budget.ts";
import type { LlmPrices, LlmProvider } from "../schema/llm-catalog.ts";
import type { ProviderId } from "../schema/provider.ts";
import type { LlmKeyInfo, LlmKeyRequest } from "../schema/llm-key.ts";
import type { Hook, HookInfo, HookTestResult } from "../schema/hook.ts";
import type { ExecSignal, ExitStatus } from "../sandbox/backend.ts";
import type { WorkspaceResult } from "../sandbox/workspace/session.ts";
import type { PolicyChange, PolicyCheck, PolicyReport, SecretInfo } from "../schema/api.ts";

/**
 * What the surfaces (HTTP API, CLI `run`, library) call, and all they call. One implementation, made by `createApp`.
 * Every call names its caller; every refusal is an `AppError`.
 */
export type Caller = { readonly actor: Actor; readonly requestId?: string };

/** A command that runs, with its bytes. */
export interface RunningExec {
  readonly id: string;
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** settles after both streams were drained. `reason` when we ended it: `timeout`, `memory` … */
  readonly exited: Promise<ExitStatus & { readonly reason?: string }>;
  kill(signal: ExecSignal): void;
  resize(size: { readonly rows: number; readonly cols: number }): void;
}

export type ExecOptions = ExecRequestBody & { readonly tty?: { readonly rows: number; readonly cols: number } };

export type Cancel = {
  readonly signal: AbortSignal;
  /** told what takes long and what is left out, in words for people */
  readonly tell?: (text: string) => void;
};

export interface SandboxService {
  /** created and started */
  create(caller: Caller, request: CreateSandboxRequest, cancel: Cancel): Promise<SandboxInfo>;
  list(filter?: { readonly label?: string }): Promise<readonly SandboxInfo[]>;
  /** @throws NOT_FOUND */
  get(name: string): Promise<SandboxInfo>;
  getByUuid(uuid: string): Promise<SandboxInfo>;
  start(caller: Caller, name: string, cancel: Cancel): Promise<SandboxInfo>;
  /** tells what became of a copied workspace */
  stop(caller: Caller, name: string): Promise<WorkspaceOutcome>;
  /** tells what became of a copied workspace; idempotent for one that is going; @throws NOT_FOUND */
  remove(caller: Caller, name: string): Promise<WorkspaceOutcome>;
  extend(caller: Caller, name: string, byMs: number): Promise<SandboxInfo>;
  exec(caller: Caller, name: string, options: ExecOptions, cancel: Cancel): Promise<RunningExec>;
  execDetached(caller: Caller, name: string, options: ExecOptions): Promise<DetachedExec>;
  detachedList(name: string): Promise<readonly DetachedExec[]>;
  detachedGet(name: string, id: string): Promise<DetachedExec>;
  detachedLogs(name: string, id: string, stream?: "stdout" | "stderr"): Promise<DetachedLogs>;
  detachedKill(caller: Caller, name: string, id: string): Promise<void>;
  /** a fresh sandbox for one command, removed when the command has ended (`keep` keeps it) */
  run(
    caller: Caller,
    request: RunRequest & { readonly tty?: { readonly rows: number; readonly cols: number } },
    cancel: Cancel,
  ): Promise<RunningSandboxExec>;
}

export type RunningSandboxExec = RunningExec & {
  readonly sandbox: SandboxInfo;
  /** resolves when the sandbox is gone and a copied workspace is written back or kept */
  readonly finished: Promise<WorkspaceOutcome>;
};

export type WorkspaceOutcome = WorkspaceResult & {
  /** writes a kept copy back after all */
  readonly apply?: () => Promise<WorkspaceOutcome>;
};

export type UsageQuery = {
  readonly sandbox?: string;
  readonly sinceMs?: number;
  readonly by?: "model" | "provider" | "sandbox" | "day" | "label";
  readonly all?: boolean;
};

export interface UsageService {
  /** per sandbox, by its name; rows keyed by provider and requested model */
  bySandbox(query: UsageQuery): Promise<Readonly<Record<string, readonly UsageEntry[]>>>;
  /** aggregated rows over every sandbox of the query; `key` is the value of `by` */
  grouped(query: UsageQuery & { readonly by: NonNullable<UsageQuery["by"]> }): Promise<readonly (UsageEntry & { readonly key: string })[]>;
  clear(caller: Caller, sandbox: string): Promise<void>;
  events(query: { readonly sandbox?: string; readonly sinceMs?: number; readonly limit?: number }): Promise<readonly LlmEvent[]>;
}

export interface EventService {
  readonly log: EventLog;
  /** the newest `last` events of the log, oldest first */
  tail(query: {
    readonly last: number;
    readonly sinceMs?: number;
    readonly sandbox?: string;
    readonly types?: readonly EventType[];
    /** only what was denied, or would have been where policy only observes */
    readonly denied?: boolean;
  }): Promise<readonly Event[]>;
  /** live; replays everything after `afterId` first when it is still held. Returns the unsubscribe. */
  follow(listener: (event: Event) => void, options?: { readonly afterId?: string }): () => void;
}

export interface SecretService {
  list(): Promise<readonly SecretInfo[]>;
  set(caller: Caller, name: string, value: string): Promise<void>;
  remove(caller: Caller, name: string): Promise<void>;
}

export interface BudgetService {
  list(): Promise<readonly BudgetReport[]>;
  /** @throws NOT_FOUND */
  get(id: string): Promise<BudgetReport>;
  /** holds from the next call on, in every process. @throws CONFLICT for one of the file */
  put(caller: Caller, id: string, budget: BudgetRequest): Promise<BudgetReport>;
  /** @throws NOT_FOUND, CONFLICT for one of the file */
  remove(caller: Caller, id: string): Promise<void>;
}

/** What is recognised, and what it costs. */
export interface LlmCatalog {
  /** in the order in which hosts are looked up; empty while recognition is off */
  providers(): Promise<readonly LlmProvider[]>;
  /** `model` with `*` lists, a plain one is looked up as a call of it would be; what has no price is not in it */
  prices(query: { readonly provider?: ProviderId; readonly model?: string }): Promise<LlmPrices>;
}

export interface LlmKeyService {
  /** never a value */
  list(): Promise<readonly LlmKeyInfo[]>;
  /** when it returns, every sandbox of this process has it. @throws NOT_FOUND for a secret there is not, CONFLICT for one of the file */
  put(caller: Caller, target: string, key: LlmKeyRequest): Promise<LlmKeyInfo>;
  remove(caller: Caller, target: string): Promise<void>;
}

export interface PolicyService {
  /** what would happen to a request for this URL */
  check(query: { readonly url: string; readonly sandbox?: string; readonly profile?: string }): Promise<PolicyCheck>;
  /** rules of the file and of the API, and the generation that every running sandbox is under */
  get(): Promise<PolicyReport>;
  /** replaces the rules made over the API; when it returns, every sandbox of this process is under the new generation */
  put(caller: Caller, change: PolicyChange): Promise<PolicyReport>;
  /** reads the configuration's rules again; a bad one keeps the old generation and throws */
  reload(caller: Caller): Promise<void>;
}

/** Who is told of what leaves, or asked. */
export interface HookService {
  list(): Promise<readonly HookInfo[]>;
  /** holds for every sandbox at once. @throws VALIDATION naming the key, CONFLICT for one of the file */
  put(caller: Caller, hook: Hook): Promise<HookInfo>;
  /** @throws NOT_FOUND, CONFLICT for one of the file */
  remove(caller: Caller, name: string): Promise<void>;
  /** sends a sample by itself, beside what is under way */
  test(caller: Caller, name: string): Promise<HookTestResult>;
  replay(caller: Caller, name: string, request: DeliveryRequest): Promise<void>;
  deliveries(name: string, limit: number): Promise<{ readonly status: StreamStatus; readonly dead_letters: readonly DeadLetter[] }>;
}

/** The audit log as it stands on disk, of all processes. */
export interface AuditService {
  /** last events of the newest chains */
  heads(limit: number): Promise<readonly ChainHeadInfo[]>;
  verify(request: AuditVerifyRequest): Promise<AuditReport>;
  /** all events since a time, chain by chain; that they were asked for is recorded first */
  export(caller: Caller, wanted: { readonly sinceMs: number; readonly format: EventFormat }): Promise<AsyncGenerator<object>>;
}

/** Where events go, and what did not get there. */
export interface DeliveryControl {
  status(): readonly StreamStatus[];
  /** @throws NOT_FOUND for a stream there is not */
  deadLetters(name: string, limit: number): Promise<readonly DeadLetter[]>;
  /** recorded, then done by whichever process delivers. @throws NOT_FOUND for a stream there is not */
  request(caller: Caller, name: string, request: DeliveryRequest): Promise<void>;
}

export interface App extends AsyncDisposable {
  readonly version: string;
  readonly sandboxes: SandboxService;
  readonly usage: UsageService;
  readonly events: EventService;
  readonly secrets: SecretService;
  readonly policy: PolicyService;
  readonly budgets: BudgetService;
  readonly llmKeys: LlmKeyService;
  readonly llmCatalog: LlmCatalog;
  readonly hooks: HookService;
  readonly audit: AuditService;
  readonly delivery: DeliveryControl;
  readonly metrics: Metrics;
  status(): Promise<StatusReport>;
  doctor(signal: AbortSignal): Promise<DoctorReport>;
}
