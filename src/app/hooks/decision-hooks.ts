import type { Clock } from "../../base/clock.ts";
import { timestamp } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { VERSION } from "../../base/version.ts";
import type { Judge, JudgedRequest, Judgement, WantedBodies } from "../../egress/gateway.ts";
import { maskBody } from "../../events/redact.ts";
import type { AddressVet, HttpClient } from "../../events/sinks/http-client.ts";
import { field, parseJson } from "../../base/parse-json.ts";
import { excerpt } from "../../events/sinks/judge-reply.ts";
import { webhookHeaders } from "../../events/sinks/standard-webhooks.ts";
import type { ShownBody } from "../../schema/event.ts";
import type { Hook } from "../../schema/hook.ts";
import { bodyLimit, cutBody } from "../../schema/shown-body.ts";
import { fits, mayFit } from "./hook-filter.ts";
import type { HookRegistry } from "./hook-registry.ts";

/** What a decision needs of its hook, made when it is first asked. */
export type DecisionWay = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly keys: readonly Buffer[];
  readonly vet?: AddressVet;
  readonly ca?: string;
};

export type DecisionHooksOptions = {
  readonly registry: HookRegistry;
  /** secrets and roots of a hook; called once for each version of it */
  readonly wayOf: (hook: Hook) => Promise<DecisionWay>;
  readonly clock: Clock;
  readonly log: Log;
};

type Ready = { readonly version: string; readonly way: Promise<DecisionWay & { readonly client: HttpClient }> };
type Known = {
  readonly atMs: number;
  readonly deciding: readonly Hook[];
  readonly wantsRequests: boolean;
  readonly withBodies: readonly Hook[];
};
type Cached = { readonly judgement: Judgement; readonly untilMs: number };

const MAX_CACHED = 10_000;
/** ms that a look at the registry holds */
const FRESH_MS = 100;
const MAX_REASON = 300;
const USER_AGENT = `agentkernel-hooks/${VERSION}`;

/**
 * Asks the webhooks that may deny a request. Every one that the request fits has to allow it; no answer in time, an error and an
 * answer that is none are a denial by `hook:NAME`.
 */
export class DecisionHooks implements Judge, AsyncDisposable {
  readonly #options: DecisionHooksOptions;
  readonly #ready = new Map<string, Ready>();
  readonly #cache = new Map<string, Cached>();
  #known: Known | undefined;

  constructor(options: DecisionHooksOptions) {
    this.#options = options;
  }

  get isActive(): boolean {
    return this.#current().deciding.length > 0;
  }

  get wantsRequests(): boolean {
    return this.#current().wantsRequests;
  }

  get wantsBodies(): boolean {
    return this.#current().withBodies.length > 0;
  }

  bodiesFor(request: JudgedRequest): WantedBodies {
    let [before, ofRequest, ofResponse] = [0, 0, 0];
    for (const hook of this.#current().withBodies) {
      if (!mayFit(hook.filter, { ...request, decision: "allow" })) continue;
      const limit = bodyLimit(hook);
      if (hook.event === "on_request") before = Math.max(before, limit);
      if (hook.mode === "notify") ofRequest = Math.max(ofRequest, limit);
      if (hook.event === "on_response") ofResponse = Math.max(ofResponse, limit);
    }
    return { before, request: ofRequest, response: ofResponse };
  }

  maskText(text: string): string {
    return maskBody(text);
  }

  async judge(request: JudgedRequest, signal: AbortSignal): Promise<Judgement> {
    for (const hook of this.#current().deciding) {
      if (!fits(hook.filter, { ...request, decision: "allow" })) continue;
      const judgement = await this.#ask(hook, request, signal);
      if (judgement.verdict === "deny") return judgement;
    }
    return { verdict: "allow" };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ready = [...this.#ready.values()];
    this.#ready.clear();
    for (const { way } of ready) await way.then(({ client }) => client[Symbol.asyncDispose]()).catch(() => "it was never made");
  }

  /** Read from the store once in a moment: this is asked for every request. */
  #current(): Known {
    const { registry, clock } = this.#options;
    const now = clock.monotonic();
    if (this.#known !== undefined && now - this.#known.atMs < FRESH_MS) return this.#known;
    const hooks = registry.list().map(({ hook }) => hook);
    this.#known = {
      atMs: now,
      deciding: hooks.filter(({ mode }) => mode === "decide"),
      withBodies: hooks.filter((hook) => bodyLimit(hook) > 0),
      wantsRequests: hooks.some(({ event, mode }) => event === "on_request" && mode === "notify"),
    };
    return this.#known;
  }

  async #ask(hook: Hook, request: JudgedRequest, signal: AbortSignal): Promise<Judgement> {
    const { clock, log } = this.#options;
    // what a hook wanted to see and did not get, it has not judged
    if (request.isBodyLate === true && bytesOf(request.body) < bodyLimit(hook))
      return { verdict: "deny", rule: `hook:${hook.name}`, reason: `The hook ${hook.name} judges the body, which did not come in time.` };
    const key = JSON.stringify([hook, request.sandboxUuid, request.method, request.url]);
    const cached = this.#cache.get(key);
    if (cached !== undefined && cached.untilMs > clock.monotonic()) return cached.judgement;
    let judgement: Judgement;
    try {
      judgement = await this.#fetch(hook, request, signal);
    } catch (error) {
      log.warn("a decision hook failed, and denies", { hook: hook.name, error: messageOf(error) });
      return { verdict: "deny", rule: `hook:${hook.name}`, reason: `The hook ${hook.name} could not be asked.` };
    }
    // what went wrong is asked again; only an answer is kept
    if (hook.cache_ttl > 0) {
      if (this.#cache.size >= MAX_CACHED) this.#cache.clear();
      this.#cache.set(key, { judgement, untilMs: clock.monotonic() + hook.cache_ttl * 1000 });
    }
    return judgement;
  }

  async #fetch(hook: Hook, request: JudgedRequest, signal: AbortSignal): Promise<Judgement> {
    const deadline = AbortSignal.timeout(hook.timeout_ms);
    const { client, url, headers, keys } = await withDeadline(this.#way(hook), deadline);
    const now = this.#options.clock.now();
    const body = JSON.stringify(bodyOf(request, bodyLimit(hook), now));
    const sent = {
      "content-type": "application/json",
      "user-agent": USER_AGENT,
      ...webhookHeaders(request.id, now, body, keys),
      ...headers,
    };
    const reply = await client.post(url, sent, body, AbortSignal.any([signal, deadline]));
    if (deadline.aborted) throw new Error(`no decision within ${hook.timeout_ms} ms`);
    if ("failure" in reply) throw new Error(reply.failure);
    if (reply.status !== 200) throw new Error(`HTTP ${reply.status}`);
    const answer = parseJson(reply.body);
    const verdict = field(answer, "verdict");
    if (verdict === "allow") return { verdict };
    if (verdict !== "deny") throw new Error("the answer has no verdict");
    const reason = field(answer, "reason");
    const said = typeof reason === "string" && reason.trim() !== "" ? excerpt(reason).slice(0, MAX_REASON) : "it gave no reason";
    return { verdict, rule: `hook:${hook.name}`, reason: `The hook ${hook.name} denies this: ${said}` };
  }

  #way(hook: Hook): Ready["way"] {
    const version = JSON.stringify(hook);
    const held = this.#ready.get(hook.name);
    if (held?.version === version) return held.way;
    const way = this.#open(hook);
    this.#ready.set(hook.name, { version, way });
    // a secret that is missing now may be there for the next request
    way.catch(() => this.#ready.delete(hook.name));
    return way;
  }

  async #open(hook: Hook): Promise<DecisionWay & { readonly client: HttpClient }> {
    const { vet, ca, ...found } = await this.#options.wayOf(hook);
    // most processes have no decision hook, and start sooner without a client
    const { createHttpClient } = await import("../../events/sinks/http-client.ts");
    const limits = { connectMs: hook.timeout_ms, totalMs: hook.timeout_ms, connections: 64 };
    return {
      ...found,
      client: createHttpClient({ ...limits, ...(vet === undefined ? {} : { vet }), ...(ca === undefined ? {} : { ca }) }),
    };
  }
}

function bytesOf(body: ShownBody | undefined): number {
  return body === undefined ? 0 : Buffer.byteLength(body.content, body.encoding);
}

function bodyOf(request: JudgedRequest, limit: number, now: number): object {
  const { id, sandbox, sandboxUuid, labels, method, url, host, port, headers, provider, body } = request;
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) pairs.push([headers[at] ?? "", headers[at + 1] ?? ""]);
  return {
    id,
    type: "egress.request",
    schema_version: 1,
    timestamp: timestamp(now),
    sandbox,
    sandbox_uuid: sandboxUuid,
    labels,
    method,
    url,
    host,
    port,
    headers: pairs,
    ...(provider === undefined ? {} : { provider }),
    ...(body === undefined || limit === 0 ? {} : { body: cutBody(body, limit) }),
  };
}

async function withDeadline<T>(promise: Promise<T>, deadline: AbortSignal): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    deadline.addEventListener("abort", () => reject(new Error("the hook's secrets took too long")), { once: true });
  });
  return Promise.race([promise, late]);
}
