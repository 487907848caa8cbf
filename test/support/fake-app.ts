import type { App, Caller, RunningSandboxExec, WorkspaceOutcome } from "../../src/app/facade.ts";
import { AppError } from "../../src/base/error.ts";
import { newId, newUuid } from "../../src/base/id.ts";
import type { Metrics } from "../../src/metrics/metrics.ts";
import type { BudgetReport } from "../../src/schema/budget.ts";
import type { DetachedExec, PolicyReport, SandboxInfo, SecretInfo, UsageEntry } from "../../src/schema/api.ts";
import type { Event, LlmEvent, NewEvent } from "../../src/schema/event.ts";
import { launchFake } from "./fake-programs.ts";

const NOTHING_CHANGED: WorkspaceOutcome = { created: 0, modified: 0, deleted: 0, sensitive: [], applied: true };

export type FakeApp = App & {
  readonly calls: { readonly method: string; readonly user: string; readonly args: unknown }[];
  /** runs whose sandbox is not gone yet */
  readonly running: Set<string>;
  emit(event: NewEvent): Event;
  failNext: Error | undefined;
  /** bytes that `bytes` got rid of, all commands together */
  produced: number;
  readonly appended: Event[];
  usage: App["usage"] & { readonly rows: Map<string, UsageEntry[]> };
};

/** An `App` in memory, with programs instead of processes. */
export function createFakeApp(): FakeApp {
  const sandboxes = new Map<string, SandboxInfo>();
  const secrets = new Map<string, SecretInfo>();
  const detached = new Map<string, DetachedExec>();
  const rows = new Map<string, UsageEntry[]>();
  const appended: Event[] = [];
  const listeners = new Set<(event: Event) => void>();
  const calls: FakeApp["calls"] = [];
  const running = new Set<string>();
  const note = (method: string, caller: { actor: { user_id: string } }, args: unknown): void => {
    calls.push({ method, user: caller.actor.user_id, args });
    if (app.failNext !== undefined) {
      const error = app.failNext;
      app.failNext = undefined;
      throw error;
    }
  };
  const find = (name: string): SandboxInfo => {
    const found = sandboxes.get(name);
    if (found === undefined) throw new AppError("NOT_FOUND", `there is no sandbox ${name}`);
    return found;
  };
  const info = (name: string, image?: string, labels: Record<string, string> = {}): SandboxInfo => ({
    name,
    uuid: newUuid(),
    status: "running",
    state: "running",
    backend: "fake",
    created_at: new Date().toISOString(),
    profile: "moderate",
    labels,
    allow: [],
    secrets: [],
    secret_files: [],
    ...(image === undefined ? {} : { image }),
  });
  const set = (name: string, state: "running" | "stopped"): SandboxInfo => {
    const next: SandboxInfo = { ...find(name), status: state, state };
    sandboxes.set(name, next);
    return next;
  };
  const emit = (event: NewEvent): Event => {
    const whole = { id: newId("evt"), schema_version: 1, timestamp: new Date().toISOString(), ...event } as Event;
    appended.push(whole);
    for (const listener of listeners) listener(whole);
    return whole;
  };
  const app: FakeApp = {
    version: "0.0.0-test",
    calls,
    running,
    emit,
    failNext: undefined,
    produced: 0,
    appended,
    sandboxes: {
      create: async (caller, request) => {
        note("create", caller, request);
        if (sandboxes.has(request.name)) throw new AppError("CONFLICT", `sandbox ${request.name} exists`);
        const made = info(request.name, request.image, request.labels);
        sandboxes.set(request.name, made);
        return made;
      },
      list: async ({ label } = {}) =>
        [...sandboxes.values()].filter((one) => label === undefined || Object.entries(one.labels).some(([k, v]) => `${k}:${v}` === label)),
      get: async (name) => find(name),
      getByUuid: async (uuid) => {
        const found = [...sandboxes.values()].find((one) => one.uuid === uuid);
        if (found === undefined) throw new AppError("NOT_FOUND", "there is no such sandbox");
        return found;
      },
      start: async (_caller, name) => set(name, "running"),
      stop: async (_caller, name) => {
        set(name, "stopped");
        return NOTHING_CHANGED;
      },
      remove: async (caller, name) => {
        note("remove", caller, name);
        find(name);
        sandboxes.delete(name);
        return NOTHING_CHANGED;
      },
      extend: async (_caller, name, byMs) => {
        const next = { ...find(name), expires_at: new Date(Date.UTC(2030, 0, 1) + byMs).toISOString() };
        sandboxes.set(name, next);
        return next;
      },
      exec: async (caller, name, options, { signal }) => {
        note("exec", caller, options);
        if (find(name).state !== "running") throw new AppError("SANDBOX_ENDED", `sandbox ${name} is stopped`);
        return launchFake(app, options.command, { tty: options.tty, signal, timeoutMs: options.timeout_ms });
      },
      execDetached: async (caller, name, options) => {
        note("execDetached", caller, options);
        find(name);
        const one: DetachedExec = {
          id: newId("exe"),
          sandbox: name,
          command: [...options.command],
          pid: 9,
          status: "running",
          exit_code: null,
          started_at: new Date().toISOString(),
        };
        detached.set(one.id, one);
        return one;
      },
      detachedList: async (name) => [...detached.values()].filter((one) => one.sandbox === find(name).name),
      detachedGet: async (_name, id) => {
        const found = detached.get(id);
        if (found === undefined) throw new AppError("NOT_FOUND", `there is no command ${id}`);
        return found;
      },
      detachedLogs: async (_name, _id, stream) =>
        stream === undefined ? { stdout: "o", stderr: "e" } : stream === "stdout" ? { stdout: "o" } : { stderr: "e" },
      detachedKill: async (_caller, _name, id) => {
        const found = detached.get(id);
        if (found !== undefined) detached.set(id, { ...found, status: "failed", exit_code: 137 });
      },
      run: async (caller, request, { signal }) => {
        note("run", caller, request);
        const sandbox = info(`run-${newId("exe")}`, request.image);
        const exec = launchFake(app, request.command, { signal, timeoutMs: request.timeout_ms });
        running.add(sandbox.name);
        const finished = exec.exited.then(() => {
          running.delete(sandbox.name);
          return { applied: false, created: 0, modified: 0, deleted: 0, sensitive: [] };
        });
        return { ...exec, sandbox, finished } satisfies RunningSandboxExec;
      },
    },
    usage: {
      rows,
      bySandbox: async ({ sandbox }) => Object.fromEntries([...rows].filter(([name]) => sandbox === undefined || name === sandbox)),
      grouped: async ({ by }) => [...rows.values()].flat().map((row) => ({ ...row, key: by === "model" ? row.model : row.provider })),
      clear: async (caller, sandbox) => {
        note("clear", caller, sandbox);
        rows.delete(sandbox);
      },
      events: async ({ limit }) => appended.filter((event): event is LlmEvent => event.type === "llm.call").slice(-(limit ?? 100)),
    },
    events: {
      log: {
        append: async (event) => emit(event),
        flush: async () => undefined,
        subscribe: (listener) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
        [Symbol.asyncDispose]: async () => undefined,
      },
      tail: async ({ last, sandbox, types }) =>
        appended
          .filter((event) => (sandbox === undefined || event.sandbox === sandbox) && (types === undefined || types.includes(event.type)))
          .slice(-last),
      follow: (listener, { afterId } = {}) => {
        if (afterId !== undefined) for (const event of appended) if (event.id > afterId) listener(event);
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    },
    secrets: {
      list: async () => [...secrets.values()],
      set: async (caller, name) => {
        note("setSecret", caller, name);
        secrets.set(name, { name, created_at: new Date().toISOString(), updated_at: new Date().toISOString() });
      },
      remove: async (_caller, name) => {
        if (!secrets.delete(name)) throw new AppError("NOT_FOUND", `there is no secret ${name}`);
      },
    },
    hooks: {
      list: async () => [],
      put: async () => {
        throw new AppError("NOT_IMPLEMENTED", "the fake has no hooks");
      },
      remove: async (caller, name) => note("hooks.remove", caller, [name]),
      test: async () => ({ delivered: true, answer: "delivered", duration_ms: 1 }),
      replay: async (caller, ...args) => note("hooks.replay", caller, args),
      deliveries: async () => {
        throw new AppError("NOT_FOUND", "there is no such hook");
      },
    },
    audit: {
      heads: async () => [],
      verify: async () => ({ exit: 0, verdict: "intact", events: 0, bytes: 0, anchor: "no anchor", chains: [] }),
      export: async (caller, wanted) => {
        note("audit.export", caller, [wanted]);
        return (async function* () {
          yield* appended;
        })();
      },
    },
    delivery: {
      status: () => [],
      deadLetters: async () => [],
      request: async (caller, ...args) => note("delivery.request", caller, args),
    },
    budgets: createFakeBudgets(note),
    llmCatalog: {
      providers: async () => [
        {
          provider: "openai",
          name: null,
          source: "built_in",
          hosts: ["api.openai.com"],
          shapes: ["openai-chat"],
          operations: ["chat"],
          include_usage: true,
          priced_models: 1,
        },
      ],
      prices: async (query) => {
        calls.push({ method: "prices", user: "", args: query });
        return { currency: "USD", unknown_price: "deny", price_file: null, prices: [] };
      },
    },
    llmKeys: {
      list: async () => [],
      put: async (caller, target, { vault_key_name }) => {
        note("putLlmKey", caller, { target, vault_key_name });
        return { target, hosts: ["api.openai.com"], vault_key_name, source: "api", available: true };
      },
      remove: async (caller, target) => note("removeLlmKey", caller, target),
    },
    policy: {
      check: async ({ url }) => ({
        url,
        verdict: "deny",
        rule: "default",
        reason: "no rule allows it",
        policy: { id: "moderate", version: 1 },
      }),
      get: async () => POLICY,
      put: async (caller, change) => {
        note("setPolicy", caller, change);
        return POLICY;
      },
      reload: async () => undefined,
    },
    metrics: fakeMetrics(),
    status: async () => ({
      version: "0.0.0-test",
      pid: process.pid,
      started_at: new Date(0).toISOString(),
      uptime_ms: 1,
      state_dir: "/state",
      config_file: null,
      backends: {},
      sandboxes: { running: sandboxes.size },
      gateway: { connections: 0, exchanges: 0 },
      streams: [],
      audit: { appended: appended.length, durable_lag_ms: 0, writable: true },
    }),
    doctor: async () => ({ ok: true, version: "0.0.0-test", checks: [] }),
    [Symbol.asyncDispose]: async () => undefined,
  };
  return app;
}

const POLICY: PolicyReport = { generation: 1, file: null, default: "deny", mode: "enforce", locked: false, rules: [], sandboxes: [] };

function createFakeBudgets(note: (method: string, caller: Caller, args: unknown) => void): App["budgets"] {
  const budgets = new Map<string, BudgetReport>();
  const find = (id: string): BudgetReport => {
    const found = budgets.get(id);
    if (found === undefined) throw new AppError("NOT_FOUND", `there is no budget ${id}`);
    return found;
  };
  return {
    list: async () => [...budgets.values()],
    get: async (id) => find(id),
    put: async (caller, id, budget) => {
      note("putBudget", caller, { id, ...budget });
      budgets.set(id, { id, source: "api", ...budget, used: 0, reserved: 0, remaining: budget.limit, resets_at: null });
      return find(id);
    },
    remove: async (caller, id) => {
      note("removeBudget", caller, id);
      find(id);
      budgets.delete(id);
    },
  };
}

/** Counts API requests, ignores the rest. */
function fakeMetrics(): Metrics {
  const requests: string[] = [];
  const known: Partial<Metrics> = {
    contentType: "text/plain; version=0.0.4",
    text: async () => requests.join("\n"),
    apiRequest: ({ method, route, status }) => void requests.push(`${method} ${route} ${status}`),
  };
  return new Proxy(known as Metrics, { get: (target, key) => Reflect.get(target, key) ?? (() => undefined) });
}
