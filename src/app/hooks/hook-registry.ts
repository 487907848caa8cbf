import { AppError } from "../../base/error.ts";
import type { Hook } from "../../schema/hook.ts";
import type { Config } from "../../schema/settings.ts";

export type RegisteredHook = {
  readonly hook: Hook;
  /** the file it stands in; null: made over the API */
  readonly file: string | null;
  /** ms; nothing before it is for the hook */
  readonly createdMs: number;
};

/** Facts about the installation in SQLite. */
export interface HookStore {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
}

/** As it was checked when it came: loading the schema would cost every start more than it finds. */
type Kept = { readonly hook: Hook; readonly createdMs: number };

const HOOKS = "hooks";
const FIRST_SEEN = "hooks_first_seen";

/** Hooks of the configuration and of the API, one registry; those of the API are kept in the store and shared by all processes. */
export class HookRegistry {
  readonly #store: HookStore;
  readonly #now: () => number;
  #config: Config;

  constructor(options: { readonly store: HookStore; readonly config: Config; readonly now: () => number }) {
    this.#store = options.store;
    this.#config = options.config;
    this.#now = options.now;
  }

  set config(config: Config) {
    this.#config = config;
  }

  /** Changes whenever a hook was made or removed over the API, by whichever process. */
  get revision(): string {
    return this.#store.get(HOOKS) ?? "";
  }

  list(): readonly RegisteredHook[] {
    const { hooks } = this.#config.proxy;
    const seen = hooks.length === 0 ? {} : this.#firstSeen(hooks.map(({ name }) => name));
    const ofFile = hooks.map((hook) => ({
      hook,
      file: this.#config.file ?? "the configuration",
      createdMs: seen[hook.name] ?? this.#now(),
    }));
    const names = new Set(hooks.map(({ name }) => name));
    // the file's hook of the same name stands in front of it
    const kept = this.#kept().flatMap(({ hook, createdMs }) => (names.has(hook.name) ? [] : [{ hook, file: null, createdMs }]));
    return [...ofFile, ...kept];
  }

  find(name: string): RegisteredHook {
    const found = this.list().find(({ hook }) => hook.name === name);
    if (found === undefined)
      throw new AppError("NOT_FOUND", `there is no hook ${JSON.stringify(name.slice(0, 80))}`, { hint: "agentkernel hooks ls" });
    return found;
  }

  /** Adds it, or replaces one of the same name, which keeps its beginning. @throws CONFLICT for one of the file */
  put(hook: Hook): void {
    this.#refuseFile(hook.name);
    const kept = this.#kept();
    const before = kept.find((one) => one.hook.name === hook.name);
    const next = kept.filter((one) => one.hook.name !== hook.name);
    this.#store.set(HOOKS, JSON.stringify([...next, { hook, createdMs: before?.createdMs ?? this.#now() }]));
  }

  /** @throws NOT_FOUND, CONFLICT for one of the file */
  remove(name: string): void {
    this.#refuseFile(name);
    this.find(name);
    this.#store.set(HOOKS, JSON.stringify(this.#kept().filter(({ hook }) => hook.name !== name)));
  }

  #refuseFile(name: string): void {
    if (!this.#config.proxy.hooks.some((hook) => hook.name === name)) return;
    throw new AppError("CONFLICT", `the hook ${name} stands in ${this.#config.file ?? "the configuration"} and is changed there`, {
      hint: "change the file and send SIGHUP",
    });
  }

  #kept(): readonly Kept[] {
    return JSON.parse(this.#store.get(HOOKS) ?? "[]") as readonly Kept[];
  }

  /** When a hook of the file was seen first: what happened before it stood there is not for it, what happened since is. */
  #firstSeen(names: readonly string[]): Readonly<Record<string, number>> {
    const known = JSON.parse(this.#store.get(FIRST_SEEN) ?? "{}") as Record<string, number>;
    const missing = names.filter((name) => known[name] === undefined);
    if (missing.length === 0) return known;
    for (const name of missing) known[name] = this.#now();
    this.#store.set(FIRST_SEEN, JSON.stringify(known));
    return known;
  }
}
