import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, timestamp } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/error.ts";
import { newId } from "../../base/id.ts";
import { KeyedMutex } from "../../base/keyed-mutex.ts";
import type { Log } from "../../base/log.ts";
import { Secret } from "../../base/secret.ts";
import type { StatePaths } from "../../config/paths.ts";
import type { SinkSpec } from "../../events/delivery/sink-spec.ts";
import type { SecretText } from "../../schema/audit-stream.ts";
import type { Event, NewEvent } from "../../schema/event.ts";
import type { Hook, HookInfo } from "../../schema/hook.ts";
import type { Config } from "../../schema/settings.ts";
import type { DecisionWay } from "./decision-hooks.ts";
import type { DeliveryService } from "../audit/delivery-service.ts";
import type { Caller, HookService } from "../facade.ts";
import type { FindSecret } from "../secrets/find-secret.ts";
import type { HookRegistry, RegisteredHook } from "./hook-registry.ts";
import type { HookSinkOptions } from "./hook-sinks.ts";
import { ownAddresses } from "../egress/own-addresses.ts";

export type HookServiceOptions = {
  readonly registry: HookRegistry;
  readonly delivery: DeliveryService;
  readonly config: () => Config;
  readonly paths: StatePaths;
  readonly secret: FindSecret;
  /** the vault, for secrets that come over the API */
  readonly vault: { set(name: string, value: Secret): Promise<void>; removeAll(prefix: string): Promise<void> };
  readonly report: (event: NewEvent) => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Log;
};

/** Values that came with a hook are kept under names that `secret set` cannot make. */
const VAULT_PREFIX = "hook.";

/** ms for a test of a hook, its secrets included */
const TEST_MS = 30_000;

/** Hooks for the surfaces: registered, tested, looked at; delivery itself is the delivery service's. */
export class Hooks implements HookService {
  readonly #options: HookServiceOptions;
  readonly #turns = new KeyedMutex();

  constructor(options: HookServiceOptions) {
    this.#options = options;
  }

  list(): Promise<readonly HookInfo[]> {
    return Promise.resolve(this.#options.registry.list().map((one) => this.#info(one)));
  }

  put(caller: Caller, hook: Hook): Promise<HookInfo> {
    return this.#turns.run("", async () => {
      const { registry, report, delivery } = this.#options;
      const { checkTarget } = await import("./hook-sinks.ts");
      await checkTarget(hook, this.sinkOptions());
      const isNew = registry.list().every((one) => one.hook.name !== hook.name);
      const kept = await this.#keepSecrets(hook);
      await report(this.#change(caller, hook.name, isNew ? "create" : "update"));
      registry.put(kept);
      await delivery.refresh();
      return this.#info(registry.find(hook.name));
    });
  }

  remove(caller: Caller, name: string): Promise<void> {
    return this.#turns.run("", async () => {
      const { registry, report, delivery, vault, paths } = this.#options;
      if (registry.find(name).file === null) await report(this.#change(caller, name, "delete"));
      registry.remove(name);
      await delivery.refresh();
      await vault.removeAll(`${VAULT_PREFIX}${name}.`);
      // a hook of this name that is made later begins anew
      const { sinkNameOf } = await import("./hook-sinks.ts");
      await rm(join(paths.delivery, sinkNameOf(name)), { recursive: true, force: true });
    });
  }

  async test(_caller: Caller, name: string): ReturnType<HookService["test"]> {
    const { registry, clock } = this.#options;
    const { hook, file } = registry.find(name);
    const { openHook, hookBody } = await import("./hook-sinks.ts");
    const startedAt = clock.monotonic();
    const event = sample(hook, clock.now());
    try {
      const signal = AbortSignal.timeout(TEST_MS);
      await using sink = await openHook(hook, file !== null, this.sinkOptions(), signal);
      const item = { id: event.id, chain: "test", seq: 0, event, bodies: [hookBody(hook, event, "test", 0)] };
      const answer = await sink.send({ items: [item], mark: undefined }, signal);
      const took = Math.round(clock.monotonic() - startedAt);
      return {
        delivered: answer.kind === "delivered",
        answer: answer.kind === "delivered" ? "delivered" : answer.reason,
        duration_ms: took,
      };
    } catch (error) {
      return { delivered: false, answer: messageOf(error), duration_ms: Math.round(clock.monotonic() - startedAt) };
    }
  }

  async replay(caller: Caller, name: string, request: Parameters<HookService["replay"]>[2]): Promise<void> {
    const { registry, delivery } = this.#options;
    registry.find(name);
    const { sinkNameOf } = await import("./hook-sinks.ts");
    await delivery.request(caller, sinkNameOf(name), request);
  }

  async deliveries(name: string, limit: number): ReturnType<HookService["deliveries"]> {
    const { registry, delivery } = this.#options;
    const info = this.#info(registry.find(name));
    const { sinkNameOf } = await import("./hook-sinks.ts");
    return { status: info.status, dead_letters: [...(await delivery.deadLetters(sinkNameOf(name), limit))] };
  }

  async specs(): Promise<readonly SinkSpec[]> {
    const hooks = this.#options.registry.list().filter(({ hook }) => hook.mode === "notify");
    if (hooks.length === 0) return [];
    const { hookSpec } = await import("./hook-sinks.ts");
    return hooks.map((one) => hookSpec(one, this.sinkOptions()));
  }

  /** What a decision hook is asked with. */
  async wayOf(hook: Hook): Promise<DecisionWay> {
    const { secret, registry } = this.#options;
    const { target } = hook;
    if (target.type !== "webhook") throw new AppError("INTERNAL", `the hook ${hook.name} is no webhook`);
    const [{ addressVet }, { webhookKey }, { loadCaFile }] = await Promise.all([
      import("./hook-sinks.ts"),
      import("../../events/sinks/standard-webhooks.ts"),
      import("../../config/ca-file.ts"),
    ]);
    const texts = [...(hook.secret === undefined ? [] : [hook.secret]), ...(hook.secrets ?? [])];
    const headers: Record<string, string> = {};
    for (const [name, text] of Object.entries(target.headers ?? {})) headers[name.toLowerCase()] = await secret(text);
    if (target.authorization !== undefined) headers["authorization"] = await secret(target.authorization);
    const vet = registry.find(hook.name).file === null ? addressVet(new URL(target.url), this.sinkOptions()) : undefined;
    return {
      url: target.url,
      headers,
      keys: await Promise.all(texts.map(async (text) => webhookKey(await secret(text)))),
      ...(vet === undefined ? {} : { vet }),
      ...(target.ca_file === undefined ? {} : { ca: await loadCaFile("proxy.hooks.target.ca_file", target.ca_file) }),
    };
  }

  sinkOptions(): HookSinkOptions {
    const { secret, report, config, paths, clock } = this.#options;
    const { hookFileDirs, unsafeAllowPrivate } = config().proxy;
    return {
      secret,
      report,
      filesDir: join(paths.state, "hooks"),
      fileDirs: hookFileDirs,
      allowPrivate: unsafeAllowPrivate,
      ownAddresses,
      clock,
    };
  }

  #info({ hook, file, createdMs }: RegisteredHook): HookInfo {
    return {
      ...hidden(hook),
      file,
      created_at: timestamp(createdMs),
      status: this.#options.delivery.statusOf(`hook@${hook.name}`, hook.target.type),
    };
  }

  #change(caller: Caller, name: string, operation: "create" | "update" | "delete"): NewEvent {
    const request = caller.requestId === undefined ? {} : { request_id: caller.requestId };
    return {
      type: "admin.change",
      outcome: "permit",
      actor: caller.actor,
      ...request,
      resource_type: "hook",
      resource_id: name,
      operation,
    };
  }

  /** Texts go into the vault. @throws VALIDATION for references that only the operator's file may use */
  async #keepSecrets(hook: Hook): Promise<Hook> {
    const { vault } = this.#options;
    const keep = async (text: SecretText, key: string): Promise<SecretText> => {
      if (typeof text !== "string") {
        if ("vault" in text) return text;
        throw new AppError("VALIDATION", `${key}: only a text or { vault } is taken over the API`, { hint: "agentkernel secret set NAME" });
      }
      if (key.startsWith("secret")) (await import("../../events/sinks/standard-webhooks.ts")).webhookKey(text);
      const name = `${VAULT_PREFIX}${hook.name}.${key.replace(/[^A-Za-z0-9_.-]/g, "_")}`;
      await vault.set(name, new Secret(text));
      return { vault: name };
    };
    const { target } = hook;
    const secrets: Pick<Hook, "secret" | "secrets"> = {
      ...(hook.secret === undefined ? {} : { secret: await keep(hook.secret, "secret") }),
      ...(hook.secrets === undefined ? {} : { secrets: await Promise.all(hook.secrets.map((text, at) => keep(text, `secrets.${at}`))) }),
    };
    if (target.type !== "webhook") return { ...hook, ...secrets };
    const headers =
      target.headers === undefined
        ? undefined
        : await Promise.all(
            Object.entries(target.headers).map(async ([name, text]) => [name, await keep(text, `headers.${name}`)] as const),
          );
    const authorization = target.authorization === undefined ? {} : { authorization: await keep(target.authorization, "authorization") };
    return {
      ...hook,
      ...secrets,
      target: { ...target, ...authorization, ...(headers === undefined ? {} : { headers: Object.fromEntries(headers) }) },
    };
  }
}

/** Without the texts of secrets that stand in the file. */
function hidden(hook: Hook): Hook {
  const hide = (text: SecretText): SecretText => (typeof text === "string" ? "[secret]" : text);
  const { target } = hook;
  const shown = {
    ...hook,
    ...(hook.secret === undefined ? {} : { secret: hide(hook.secret) }),
    ...(hook.secrets === undefined ? {} : { secrets: hook.secrets.map(hide) }),
  };
  if (target.type !== "webhook") return shown;
  return {
    ...shown,
    target: {
      ...target,
      ...(target.authorization === undefined ? {} : { authorization: hide(target.authorization) }),
      ...(target.headers === undefined
        ? {}
        : { headers: Object.fromEntries(Object.entries(target.headers).map(([name, text]) => [name, hide(text)])) }),
    },
  };
}

/** What `hooks test` sends: an exchange that never was, and says so. */
function sample(hook: Hook, nowMs: number): Event {
  const base = {
    id: newId("evt", nowMs),
    schema_version: 1 as const,
    timestamp: timestamp(nowMs),
    actor: { kind: "system" as const, user_id: "agentkernel" },
    outcome: "permit" as const,
    sandbox: "test",
    labels: { "agentkernel.test": hook.name },
  };
  return {
    ...base,
    type: "egress.exchange",
    method: "GET",
    url: "https://example.com/agentkernel-hook-test",
    host: "example.com",
    port: 443,
    status: 200,
    decision: "allow",
    rule: "test",
    reason: "a test of the hook; nothing was sent to this host",
    policy: { id: "test", version: 0 },
    protocol: "http/1.1",
    inspected: true,
    secret_injected: false,
    bytes_in: 0,
    bytes_out: 0,
    latency_ms: 0,
    end: "complete",
  };
}
