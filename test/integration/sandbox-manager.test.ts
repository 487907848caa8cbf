import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { AppError } from "../../src/base/error.ts";
import { newUuid } from "../../src/base/id.ts";
import { silentLog } from "../../src/base/log.ts";
import { silentMetrics } from "../../src/metrics/silent-metrics.ts";
import type { Backend, BackendSandbox, EndReason } from "../../src/sandbox/backend.ts";
import { Caretaker } from "../../src/sandbox/caretaker.ts";
import { SandboxManager } from "../../src/sandbox/manager.ts";
import type { SandboxRecord } from "../../src/sandbox/record.ts";
import type { NewEvent } from "../../src/schema/event.ts";
import { openStore } from "../../src/store/open-store.ts";
import { tempDir } from "../support/temp.ts";

const ASKER = { actor: { kind: "user" as const, user_id: "tester" } };
const LIMITS = { memory: "none", cpu: "none", pids: "none", files: "none", disk: "none" } as const;
const never = (): AbortSignal => new AbortController().signal;

/** A backend that does what the test says, and counts what it has given out and taken back. */
class ScriptedBackend {
  alive = 0;
  /** awaited within create, before there is a sandbox */
  beforeCreate: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  onExec: () => void = () => undefined;

  readonly backend: Pick<Backend, "create"> & Partial<Backend> = {
    create: async (spec, { signal }) => {
      await this.beforeCreate(signal);
      if (spec.network.kind === "gateway") await spec.network.attach({ tcp: new Map() });
      this.alive += 1;
      const ended = Promise.withResolvers<EndReason>();
      let gone = false;
      const end = (reason: EndReason): void => {
        if (!gone) this.alive -= 1;
        gone = true;
        ended.resolve(reason);
      };
      const sandbox: BackendSandbox = {
        ended: ended.promise,
        limits: LIMITS,
        exec: () => {
          this.onExec();
          const exited = ended.promise.then(() => Promise.reject(new AppError("SANDBOX_ENDED", "the sandbox has ended")));
          exited.catch(() => undefined);
          const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
          return Promise.resolve({ pid: 2, stdin, stdout, stderr, exited, kill: () => undefined, resize: () => undefined });
        },
        dial: () => Promise.reject(new Error("no")),
        stop: (reason) => Promise.resolve(end(reason)),
        [Symbol.asyncDispose]: () => Promise.resolve(end({ kind: "stopped", message: "disposed of" })),
      };
      return sandbox;
    },
  };
}

async function setUp() {
  const stack = new AsyncDisposableStack();
  const { path } = stack.use(await tempDir({}));
  const directory = join(path, "sandboxes");
  await mkdir(directory);
  const store = stack.use(openStore<SandboxRecord>(join(path, "state.db"), { log: silentLog }));
  const scripted = new ScriptedBackend();
  const events: NewEvent[] = [];
  const forgotten: string[] = [];
  const links = { open: 0 };
  let now = 1_000;
  let refuse: ((event: NewEvent) => boolean) | undefined;
  const clock = { now: () => now, monotonic: () => now };
  const manager = stack.use(
    new SandboxManager({
      backends: new Map([["bubblewrap", scripted.backend as Backend]]),
      repository: store.sandboxes,
      detached: store.detached,
      directory,
      surroundings: () => {
        let attached = false;
        return Promise.resolve({
          network: {
            kind: "gateway" as const,
            ports: [80],
            attach: () => {
              attached = true;
              links.open += 1;
              return Promise.resolve();
            },
          },
          env: {},
          files: {},
          link: () =>
            attached ? { drain: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve(void (links.open -= 1)) } : undefined,
        });
      },
      report: (event) => {
        if (refuse?.(event) === true) return Promise.reject(new AppError("AUDIT_UNAVAILABLE", "the audit log cannot be written"));
        events.push(event);
        return Promise.resolve();
      },
      forget: ({ uuid }) => Promise.resolve(void forgotten.push(uuid)),
      clock,
      log: silentLog,
      metrics: silentMetrics,
    }),
  );
  const caretaker = new Caretaker({
    manager,
    repository: store.sandboxes,
    detached: store.detached,
    directory,
    everyones: true,
    clock,
    log: silentLog,
  });
  return {
    manager,
    caretaker,
    store,
    scripted,
    events,
    forgotten,
    links,
    directory,
    at: (ms: number) => (now = ms),
    refuseEvents: (when: typeof refuse) => (refuse = when),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function recordOf(name: string, more: Partial<SandboxRecord> = {}): SandboxRecord {
  return {
    uuid: newUuid(),
    name,
    backend: "bubblewrap",
    profile: "moderate",
    labels: {},
    env: {},
    limits: { memory: null, cpu: null, pids: null, files: null, disk: null },
    requiredLimits: [],
    allow: [],
    secrets: [],
    mounts: [],
    state: "creating",
    createdAt: 1,
    ...more,
  };
}

describe("a create that fails", () => {
  it.each<[string, (t: Awaited<ReturnType<typeof setUp>>) => void]>([
    ["in the backend", ({ scripted }) => (scripted.beforeCreate = () => Promise.reject(new Error("no")))],
    ["in the audit log", ({ refuseEvents }) => void refuseEvents(() => true)],
    ["in the store", ({ store }) => void (store.sandboxes.update = () => fail())],
  ])("%s leaves nothing", async (_where, breakIt) => {
    await using t = await setUp();
    const update = t.store.sandboxes.update.bind(t.store.sandboxes);
    breakIt(t);
    const record = recordOf("one");
    await expect(t.manager.create(ASKER, record, { signal: never() })).rejects.toThrow();
    t.store.sandboxes.update = update;
    await expect.poll(() => t.manager.running).toBe(0);
    expect(t.scripted.alive).toBe(0);
    expect(t.links.open).toBe(0);
    expect(t.store.sandboxes.list()).toEqual([]);
    expect(readdirSync(t.directory)).toEqual([]);
    expect(t.forgotten).toEqual([record.uuid]);
  });

  it("because the name is taken forgets its own values, and touches nothing of the other", async () => {
    await using t = await setUp();
    const first = recordOf("one");
    await t.manager.create(ASKER, first, { signal: never() });
    const second = recordOf("one");
    await expect(t.manager.create(ASKER, second, { signal: never() })).rejects.toMatchObject({ code: "CONFLICT" });
    expect(t.forgotten).toEqual([second.uuid]);
    expect(t.manager.isRunning(first.uuid)).toBe(true);
  });

  it("because it was cancelled says so, and not that we are broken", async () => {
    await using t = await setUp();
    const abort = new AbortController();
    t.scripted.beforeCreate = (signal) => {
      abort.abort();
      return Promise.reject(signal.reason as Error);
    };
    await expect(t.manager.create(ASKER, recordOf("one"), { signal: abort.signal })).rejects.toMatchObject({ code: "CONFLICT" });
    expect(readdirSync(t.directory)).toEqual([]);
  });
});

describe("a stop whose end cannot be recorded", () => {
  it("is told, and what has stopped is not shown as stopping", async () => {
    await using t = await setUp();
    await t.manager.create(ASKER, recordOf("one"), { signal: never() });
    t.refuseEvents(() => true);
    await expect(t.manager.stop(ASKER, "one", { apply: false })).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
    expect(t.scripted.alive).toBe(0);
    expect(t.manager.find("one").state).toBe("stopped");
  });

  it("is settled by the next one where it broke off", async () => {
    await using t = await setUp();
    const record = recordOf("one");
    await t.manager.create(ASKER, record, { signal: never() });
    t.refuseEvents(() => true);
    await expect(t.manager.remove(ASKER, record, { apply: false })).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
    t.refuseEvents(undefined);
    await t.manager.stop(ASKER, "one", { apply: false });
    expect(t.manager.find("one").state).toBe("stopped");
    await t.manager.remove(ASKER, record, { apply: false });
    expect(t.store.sandboxes.list()).toEqual([]);
  });
});

describe("the end of the process", () => {
  it("gives up what is being started, and waits for it", async () => {
    const t = await setUp();
    const reached = Promise.withResolvers<void>();
    t.scripted.beforeCreate = (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
        reached.resolve();
      });
    const creating = t.manager.create(ASKER, recordOf("one"), { signal: never() });
    creating.catch(() => undefined);
    await reached.promise;
    await t.manager[Symbol.asyncDispose]();
    await expect(creating).rejects.toMatchObject({ code: "CONFLICT" });
    expect(t.scripted.alive).toBe(0);
    expect(t.store.sandboxes.list()).toEqual([]);
    await expect(t.manager.create(ASKER, recordOf("two"), { signal: never() })).rejects.toMatchObject({ code: "CONFLICT" });
    await t[Symbol.asyncDispose]();
  });

  it("gives up a start that was too far to be cancelled", async () => {
    const t = await setUp();
    const reached = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    t.scripted.beforeCreate = () => {
      reached.resolve();
      return go.promise;
    };
    const creating = t.manager.create(ASKER, recordOf("one"), { signal: never() });
    creating.catch(() => undefined);
    await reached.promise;
    const disposing = t.manager[Symbol.asyncDispose]();
    go.resolve();
    await disposing;
    await expect(creating).rejects.toMatchObject({ code: "CONFLICT" });
    expect(t.scripted.alive).toBe(0);
    expect(t.links.open).toBe(0);
    await t[Symbol.asyncDispose]();
  });

  it("removes what was made for one command, and stops the rest", async () => {
    const t = await setUp();
    await t.manager.create(ASKER, recordOf("run-1", { isEphemeral: true }), { signal: never() });
    await t.manager.create(ASKER, recordOf("kept"), { signal: never() });
    await t.manager[Symbol.asyncDispose]();
    expect(t.store.sandboxes.list().map(({ name, state }) => [name, state])).toEqual([["kept", "stopped"]]);
    expect(t.scripted.alive).toBe(0);
    await t[Symbol.asyncDispose]();
  });
});

describe("several at once", () => {
  it("removes once, whoever asks", async () => {
    await using t = await setUp();
    const record = recordOf("one");
    const creating = t.manager.create(ASKER, record, { signal: never() });
    const removing = [1, 2, 3].map(() => t.manager.remove(ASKER, record, { apply: false }));
    await creating;
    await Promise.all(removing);
    expect(t.events.filter((event) => "operation" in event && event.operation === "remove")).toHaveLength(1);
    expect(t.scripted.alive).toBe(0);
    expect(readdirSync(t.directory)).toEqual([]);
  });

  it("ends a command with its sandbox, and records why", async () => {
    await using t = await setUp();
    const record = recordOf("one");
    await t.manager.create(ASKER, record, { signal: never() });
    const exec = await t.manager.exec(ASKER, "one", { argv: ["sleep"], env: {} }, never());
    await t.manager.remove(ASKER, record, { apply: false });
    expect(await exec.exited).toEqual({ code: null, signal: "SIGKILL", reason: "stopped" });
    expect(t.events.filter(({ type }) => type === "sandbox.exec")).toHaveLength(2);
  });
});

describe("sandboxes whose time is over", () => {
  it("are removed with all that was kept for them, one that resists not keeping the others", async () => {
    await using t = await setUp();
    const records = ["a", "b", "c"].map((name) => recordOf(name, { expiresAt: 2_000 }));
    for (const record of records) await t.manager.create(ASKER, record, { signal: never() });
    t.at(1_999);
    await t.caretaker.reap();
    expect(t.scripted.alive).toBe(3);
    t.at(2_000);
    t.refuseEvents((event) => "sandbox" in event && event.sandbox === "a");
    await t.caretaker.reap();
    t.refuseEvents(undefined);
    expect(t.store.sandboxes.list().map(({ name }) => name)).toEqual(["a"]);
    expect(new Set(t.forgotten)).toEqual(new Set([records[1]?.uuid, records[2]?.uuid]));
    await t.caretaker.reap();
    expect(t.store.sandboxes.list()).toEqual([]);
  });

  it("are not mistaken for another of the same name, or ended though they were extended", async () => {
    await using t = await setUp();
    const [first, old, extended] = ["a", "b", "c"].map((name) => recordOf(name, { expiresAt: 2_000 }));
    if (first === undefined || old === undefined || extended === undefined) throw new Error("three were made");
    for (const record of [first, old, extended]) await t.manager.create(ASKER, record, { signal: never() });
    t.at(3_000);
    const again = recordOf("b");
    let done = false;
    // while the first of them is being removed, the second is replaced, and the third given more time
    t.refuseEvents((event) => {
      if (!done && "sandbox" in event && event.sandbox === "a") {
        done = true;
        replacing = t.manager
          .extend(ASKER, extended, 9_000)
          .then(() => t.manager.remove(ASKER, old, { apply: false }))
          .then(() => t.manager.create(ASKER, again, { signal: never() }));
      }
      return false;
    });
    let replacing: Promise<unknown> = Promise.resolve();
    await t.caretaker.reap();
    await replacing;
    await t.caretaker.reap();
    expect(t.manager.isRunning(again.uuid)).toBe(true);
    expect(t.manager.isRunning(extended.uuid)).toBe(true);
    expect(t.manager.isRunning(first.uuid)).toBe(false);
  });
});

describe("after a crash", () => {
  it("removes what was made for one command, keeps a copy with changes, and sweeps folders that nobody knows", async () => {
    await using t = await setUp();
    const dead = (name: string, more: Partial<SandboxRecord> = {}): SandboxRecord => {
      const record = recordOf(name, { state: "running", isEphemeral: true, ...more });
      t.store.sandboxes.insert(record);
      return record;
    };
    const gone = dead("run-gone");
    const kept = dead("kept", { isEphemeral: false, state: "stopped" });
    for (const { uuid } of [gone, kept]) await mkdir(join(t.directory, uuid, "home"), { recursive: true });
    const stray = join(t.directory, newUuid());
    await mkdir(stray);
    const saved = join(t.directory, newUuid());
    await mkdir(saved);
    writeFileSync(join(saved, "workspace.json"), "{}");
    await t.caretaker.recover();
    expect(t.store.sandboxes.list().map(({ name }) => name)).toEqual(["kept"]);
    expect(t.forgotten).toEqual([gone.uuid]);
    expect(existsSync(join(t.directory, gone.uuid))).toBe(false);
    expect(existsSync(join(t.directory, kept.uuid))).toBe(true);
    expect(existsSync(stray)).toBe(false);
    expect(existsSync(saved)).toBe(true);
  });
});

function fail(): never {
  throw new AppError("DISK_FULL", "the disk is full");
}
