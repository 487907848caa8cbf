import type { z } from "zod";
import type {
  batchRunRequest,
  BatchRunResult,
  createSandboxRequest,
  DetachedExec,
  DetachedLogs,
  detachRequest,
  DoctorReport,
  execRequestBody,
  ExtendResult,
  policyChange,
  PolicyCheck,
  PolicyReport,
  ProfileName,
  RunOutput,
  runRequest,
  SandboxInfo,
  SecretInfo,
  StatusReport,
  UsageEntry,
  UsageGroup,
} from "../schema/api.ts";
import type { BudgetReport, BudgetRequest } from "../schema/budget.ts";
import type { LlmPrices, LlmProvider } from "../schema/llm-catalog.ts";
import type { LlmKeyInfo, LlmKeyRequest } from "../schema/llm-key.ts";
import type { AuditReport, auditReplayRequest, auditVerifyRequest, ChainHeadInfo, DeadLetterInfo } from "../schema/delivery.ts";
import type { hook, HookDeliveries, HookInfo, hookReplayRequest, HookTestResult } from "../schema/hook.ts";
import type { DecisionEvent, Event, ExchangeEvent, LlmEvent } from "../schema/event.ts";
import type { ExecStart } from "../schema/exec-frames.ts";
import { type CommandEvent, type FeedOptions, followEvents, readCommand } from "./feed.ts";
import { openExec, type RemoteExec } from "./exec.ts";
import { type CallOptions, type ClientOptions, type RequestSpec, Transport } from "./transport.ts";

type ListOptions = CallOptions & { readonly label?: string; readonly limit?: number; readonly cursor?: string };
type TailOptions = CallOptions & { readonly last?: number; readonly since?: string; readonly sandbox?: string };
type UsageOptions = CallOptions & { readonly since?: string; readonly all?: boolean };

/** One method per route of the API. Every failure is an `AppError`: the server's own, or SERVER_UNREACHABLE. */
export interface Client extends Disposable {
  health(call?: CallOptions): Promise<string>;
  metrics(call?: CallOptions): Promise<string>;
  status(call?: CallOptions): Promise<StatusReport>;
  doctor(call?: CallOptions): Promise<DoctorReport>;
  openapi(call?: CallOptions): Promise<unknown>;

  run(request: z.input<typeof runRequest>, call?: CallOptions): Promise<RunOutput>;
  runStream(request: z.input<typeof runRequest>, call?: CallOptions): AsyncGenerator<CommandEvent>;
  batchRun(request: z.input<typeof batchRunRequest>, call?: CallOptions): Promise<BatchRunResult>;

  createSandbox(request: z.input<typeof createSandboxRequest>, call?: CallOptions): Promise<SandboxInfo>;
  listSandboxes(options?: ListOptions): Promise<{ readonly items: readonly SandboxInfo[]; readonly nextCursor?: string }>;
  getSandbox(name: string, call?: CallOptions): Promise<SandboxInfo>;
  getSandboxByUuid(uuid: string, call?: CallOptions): Promise<SandboxInfo>;
  removeSandbox(name: string, call?: CallOptions): Promise<string>;
  startSandbox(name: string, call?: CallOptions): Promise<string>;
  stopSandbox(name: string, call?: CallOptions): Promise<string>;
  extendSandbox(name: string, by: string, call?: CallOptions): Promise<ExtendResult>;
  sandboxLogs(name: string, options?: CallOptions & { readonly last?: number }): Promise<readonly Event[]>;

  /** over a WebSocket: stdin, terminal, signals, exact bytes */
  exec(name: string, start: ExecStart, call?: Pick<CallOptions, "signal">): Promise<RemoteExec>;
  /** waits for the command and gives its output as text */
  execAndWait(name: string, request: z.input<typeof execRequestBody>, call?: CallOptions): Promise<RunOutput>;
  execStream(name: string, request: z.input<typeof execRequestBody>, call?: CallOptions): AsyncGenerator<CommandEvent>;
  execDetached(name: string, request: z.input<typeof detachRequest>, call?: CallOptions): Promise<DetachedExec>;
  detachedList(name: string, call?: CallOptions): Promise<readonly DetachedExec[]>;
  detachedGet(name: string, id: string, call?: CallOptions): Promise<DetachedExec>;
  detachedLogs(name: string, id: string, options?: CallOptions & { readonly stream?: "stdout" | "stderr" }): Promise<DetachedLogs>;
  detachedKill(name: string, id: string, call?: CallOptions): Promise<string>;

  usage(options?: UsageOptions): Promise<Readonly<Record<string, readonly UsageEntry[]>>>;
  usageBy(by: "model" | "provider" | "sandbox" | "day" | "label", options?: UsageOptions): Promise<readonly UsageGroup[]>;
  usageOf(sandbox: string, options?: UsageOptions): Promise<readonly UsageEntry[]>;
  clearUsage(sandbox: string, call?: CallOptions): Promise<string>;
  llmEvents(
    options?: CallOptions & { readonly sandbox?: string; readonly since?: string; readonly limit?: number },
  ): Promise<readonly LlmEvent[]>;
  /** live; resumes by itself when the connection breaks, without losing or repeating an event that the server still holds */
  followLlmEvents(options?: FeedOptions): AsyncGenerator<LlmEvent>;

  followEvents(options?: FeedOptions): AsyncGenerator<Event>;
  audit(options?: TailOptions): Promise<readonly Event[]>;
  hooks(call?: CallOptions): Promise<readonly HookInfo[]>;
  setHook(request: z.input<typeof hook>, call?: CallOptions): Promise<HookInfo>;
  removeHook(name: string, call?: CallOptions): Promise<string>;
  testHook(name: string, call?: CallOptions): Promise<HookTestResult>;
  replayHook(name: string, request: z.input<typeof hookReplayRequest>, call?: CallOptions): Promise<string>;
  hookDeliveries(name: string, options?: CallOptions & { readonly last?: number }): Promise<HookDeliveries>;

  auditHeads(options?: CallOptions & { readonly last?: number }): Promise<readonly ChainHeadInfo[]>;
  auditVerify(request?: z.input<typeof auditVerifyRequest>, call?: CallOptions): Promise<AuditReport>;
  auditReplay(request: z.input<typeof auditReplayRequest>, call?: CallOptions): Promise<string>;
  auditDead(options: CallOptions & { readonly sink: string; readonly last?: number }): Promise<readonly DeadLetterInfo[]>;
  policyLog(options?: TailOptions & { readonly denied?: boolean }): Promise<readonly (ExchangeEvent | DecisionEvent)[]>;
  budgets(call?: CallOptions): Promise<readonly BudgetReport[]>;
  setBudget(id: string, budget: BudgetRequest, call?: CallOptions): Promise<BudgetReport>;
  removeBudget(id: string, call?: CallOptions): Promise<string>;
  llmProviders(call?: CallOptions): Promise<readonly LlmProvider[]>;
  llmPrices(options?: CallOptions & { readonly provider?: string; readonly model?: string }): Promise<LlmPrices>;
  llmKeys(call?: CallOptions): Promise<readonly LlmKeyInfo[]>;
  setLlmKey(target: string, key: LlmKeyRequest, call?: CallOptions): Promise<LlmKeyInfo>;
  removeLlmKey(target: string, call?: CallOptions): Promise<string>;
  policy(call?: CallOptions): Promise<PolicyReport>;
  setPolicy(change: z.input<typeof policyChange>, call?: CallOptions): Promise<PolicyReport>;
  policyCheck(
    query: { readonly url: string; readonly sandbox?: string; readonly profile?: ProfileName },
    call?: CallOptions,
  ): Promise<PolicyCheck>;

  secrets(call?: CallOptions): Promise<readonly SecretInfo[]>;
  setSecret(name: string, value: string, call?: CallOptions): Promise<SecretInfo>;
  removeSecret(name: string, call?: CallOptions): Promise<string>;
}

export function createClient(options: ClientOptions): Client {
  const transport = new Transport(options);
  // the server's answers are made from the same schemas; a newer server may add fields, so they are not checked again
  const call = async <T>(method: string, path: string, spec: Partial<RequestSpec> = {}): Promise<T> =>
    (await transport.data({ ...spec, method, path })).data as T;
  const get = <T>(path: string, spec?: Partial<RequestSpec>): Promise<T> => call<T>("GET", path, spec);
  const post = <T>(path: string, spec?: Partial<RequestSpec>): Promise<T> => call<T>("POST", path, spec);
  const remove = (path: string, spec?: Partial<RequestSpec>): Promise<string> => call<string>("DELETE", path, spec);
  const sandbox = (name: string, rest = ""): string => `/sandboxes/${encodeURIComponent(name)}${rest}`;
  const detached = (name: string, id: string, rest = ""): string => sandbox(name, `/exec/detached/${encodeURIComponent(id)}${rest}`);

  return {
    health: (c) => get("/health", c),
    metrics: (c) => transport.text({ ...c, method: "GET", path: "/metrics" }),
    status: (c) => get("/status", c),
    doctor: (c) => get("/doctor", c),
    openapi: async (c) => JSON.parse(await transport.text({ ...c, method: "GET", path: "/openapi.json" })) as unknown,

    run: (body, c) => post("/run", { ...c, body }),
    runStream: (body, c) => readCommand(transport, { ...c, method: "POST", path: "/run/stream", body }),
    batchRun: (body, c) => post("/batch/run", { ...c, body }),

    createSandbox: (body, c) => post("/sandboxes", { ...c, body }),
    listSandboxes: async ({ label, limit, cursor, ...c } = {}) => {
      const { data, nextCursor } = await transport.data({ ...c, method: "GET", path: "/sandboxes", query: { label, limit, cursor } });
      return { items: data as SandboxInfo[], ...(nextCursor === undefined ? {} : { nextCursor }) };
    },
    getSandbox: (name, c) => get(sandbox(name), c),
    getSandboxByUuid: (uuid, c) => get(`/sandboxes/by-uuid/${encodeURIComponent(uuid)}`, c),
    removeSandbox: (name, c) => remove(sandbox(name), c),
    startSandbox: (name, c) => post(sandbox(name, "/start"), c),
    stopSandbox: (name, c) => post(sandbox(name, "/stop"), c),
    extendSandbox: (name, by, c) => post(sandbox(name, "/extend"), { ...c, body: { by } }),
    sandboxLogs: (name, { last, ...c } = {}) => get(sandbox(name, "/logs"), { ...c, query: { last } }),

    exec: (name, start, c) => openExec(transport, name, start, c?.signal),
    execAndWait: (name, body, c) => post(sandbox(name, "/exec"), { ...c, body }),
    execStream: (name, body, c) => readCommand(transport, { ...c, method: "POST", path: sandbox(name, "/exec/stream"), body }),
    execDetached: (name, body, c) => post(sandbox(name, "/exec/detach"), { ...c, body }),
    detachedList: (name, c) => get(sandbox(name, "/exec/detached"), c),
    detachedGet: (name, id, c) => get(detached(name, id), c),
    detachedLogs: (name, id, { stream, ...c } = {}) => get(detached(name, id, "/logs"), { ...c, query: { stream } }),
    detachedKill: (name, id, c) => remove(detached(name, id), c),

    usage: ({ since, all, ...c } = {}) => get("/llm/usage", { ...c, query: { since, all } }),
    usageBy: (by, { since, all, ...c } = {}) => get("/llm/usage", { ...c, query: { by, since, all } }),
    usageOf: (name, { since, all, ...c } = {}) => get(`/llm/usage/${encodeURIComponent(name)}`, { ...c, query: { since, all } }),
    clearUsage: (name, c) => remove(`/llm/usage/${encodeURIComponent(name)}`, c),
    llmEvents: ({ sandbox: name, since, limit, ...c } = {}) => get("/llm/events", { ...c, query: { sandbox: name, since, limit } }),
    followLlmEvents: (feed) => followEvents(transport, "/llm/events", feed) as AsyncGenerator<LlmEvent>,

    budgets: (c) => get("/llm/budgets", c),
    setBudget: (id, body, c) => call("PUT", `/llm/budgets/${encodeURIComponent(id)}`, { ...c, body }),
    llmProviders: (c) => get("/llm/providers", c),
    llmPrices: ({ provider, model, ...c } = {}) => get("/llm/prices", { ...c, query: { provider, model } }),
    llmKeys: (c) => get("/llm/keys", c),
    setLlmKey: (target, body, c) => call("PUT", `/llm/keys/${encodeURIComponent(target)}`, { ...c, body }),
    removeLlmKey: (target, c) => remove(`/llm/keys/${encodeURIComponent(target)}`, c),
    removeBudget: (id, c) => remove(`/llm/budgets/${encodeURIComponent(id)}`, c),

    followEvents: (feed) => followEvents(transport, "/events", feed),
    audit: ({ last, since, sandbox: name, ...c } = {}) => get("/audit", { ...c, query: { last, since, sandbox: name } }),
    hooks: (c) => get("/proxy/hooks", c),
    setHook: (body, c) => post("/proxy/hooks", { ...c, body }),
    removeHook: (name, c) => remove(`/proxy/hooks/${encodeURIComponent(name)}`, c),
    testHook: (name, c) => post(`/proxy/hooks/${encodeURIComponent(name)}/test`, c),
    replayHook: (name, body, c) => post(`/proxy/hooks/${encodeURIComponent(name)}/replay`, { ...c, body }),
    hookDeliveries: (name, { last, ...c } = {}) => get(`/proxy/hooks/${encodeURIComponent(name)}/deliveries`, { ...c, query: { last } }),

    auditHeads: ({ last, ...c } = {}) => get("/audit/head", { ...c, query: { last } }),
    auditVerify: (body = {}, c) => post("/audit/verify", { ...c, body }),
    auditReplay: (body, c) => post("/audit/replay", { ...c, body }),
    auditDead: ({ sink, last, ...c }) => get("/audit/dead", { ...c, query: { sink, last } }),
    policyLog: ({ last, since, sandbox: name, denied, ...c } = {}) =>
      get("/policy/log", { ...c, query: { last, since, sandbox: name, ...(denied === true ? { denied: "true" } : {}) } }),
    policy: (c) => get("/policy", c),
    setPolicy: (body, c) => call("PUT", "/policy", { ...c, body }),
    policyCheck: (query, c) => get("/policy/check", { ...c, query }),

    secrets: (c) => get("/secrets", c),
    setSecret: (name, value, c) => post("/secrets", { ...c, body: { name, value } }),
    removeSecret: (name, c) => remove(`/secrets/${encodeURIComponent(name)}`, c),

    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}
