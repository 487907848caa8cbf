import { background } from "../../base/background.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { StatePaths } from "../../config/paths.ts";
import type { CallGate, EgressLimits, Gateway, Judge } from "../../egress/gateway.ts";
import type { UpstreamProxy } from "../../egress/options.ts";
import type { Trust } from "../../egress/trust.ts";
import type { SecretReference } from "../../schema/secret-reference.ts";
import type { EgressSettings } from "../../schema/settings.ts";
import type { Secret } from "../../base/secret.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { Prices } from "../llm/call-usage.ts";
import type { EgressGeneration } from "./egress-policy.ts";
import { LateAttachment } from "./late-attachment.ts";
import type { Reporter } from "../audit/reporter.ts";

/** What happens at each limit is in docs/security/limits.md. */
export const EGRESS_LIMITS: EgressLimits = {
  connectionsPerSandbox: 256,
  connectionsPerListener: 192,
  exchangesPerSandbox: 1_024,
  handshakeTimeoutMs: 10_000,
  headBytes: 64 * 1024,
  idleTimeoutMs: 60 * 60_000,
  connectTimeoutMs: 10_000,
  inspectBytes: 32 * 1024 ** 2,
  heldBytesPerSandbox: 256 * 1024 ** 2,
  codedBodiesPerSandbox: 64,
  lookTimeoutMs: 5_000,
};

/** ms from the first sandbox until the rest of the gateway is loaded; a command that ends sooner never pays for it */
const LOAD_MS = 250;
/** ms from there until the table of prices is read */
const WARM_MS = 100;

export type LazyGatewayOptions = {
  readonly paths: StatePaths;
  readonly generation: () => EgressGeneration;
  readonly reporter: Reporter;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly clock: Clock;
  /** decision hooks, and hooks that want to know of requests */
  readonly judge: Judge;
  /** what model calls are held against */
  readonly gate: (prices: Prices) => CallGate;
  readonly resolveSecret: (reference: SecretReference | null) => Promise<Secret | undefined>;
};

/** What is made of a part of the generation in force, made again when that part is another one. */
function following<P, T>(part: () => P, make: (part: P) => T): () => T {
  let made: { readonly of: P; readonly it: T } | undefined;
  return () => {
    const of = part();
    if (made === undefined || made.of !== of) made = { of, it: make(of) };
    return made.it;
  };
}

type UpstreamProxyOption = { readonly upstreamProxy?: UpstreamProxy };

/** What of the gateway a sandbox is made with. */
export type SandboxGateway = Pick<Gateway, "trustBundlePem" | "attach">;

/**
 * The gateway, in two steps. What a sandbox is made with is there when the first sandbox with a network is made: most command
 * lines never need it. Everything else comes with the first connection, or soon after: most of it is code to be loaded, as long as
 * a whole sandbox takes to start.
 */
export class LazyGateway implements AsyncDisposable {
  readonly #options: LazyGatewayOptions;
  #opened: Promise<SandboxGateway> | undefined;
  #loaded: Promise<Gateway> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LazyGatewayOptions) {
    this.#options = options;
  }

  get(): Promise<SandboxGateway> {
    if (this.#opened === undefined) {
      const opened = this.#open();
      this.#opened = opened;
      // what was missing (room on the disk, a descriptor) may be there at the next try
      opened.catch(() => {
        if (this.#opened === opened) this.#opened = undefined;
      });
    }
    return this.#opened;
  }

  async #open(): Promise<SandboxGateway> {
    const { paths, generation, clock, log } = this.#options;
    const { config, extraCa } = generation();
    const [{ openTrust }, proxy] = await Promise.all([import("../../egress/trust.ts"), this.#proxy(config.egress.upstreamProxy)]);
    const trust = await openTrust({ authorityDir: paths.authority, ...(extraCa === undefined ? {} : { extraCa }), clock });
    const load = (): Promise<Gateway> => this.#load(trust, proxy);
    this.#timer = setTimeout(() => background("load the gateway", load(), log), LOAD_MS).unref();
    return {
      trustBundlePem: trust.bundlePem,
      attach: (egress, listeners) => new LateAttachment({ load, egress, listeners, limits: EGRESS_LIMITS, log }),
    };
  }

  #load(trust: Trust, proxy: UpstreamProxyOption): Promise<Gateway> {
    if (this.#loaded === undefined) {
      clearTimeout(this.#timer);
      const loaded = this.#make(trust, proxy);
      this.#loaded = loaded;
      loaded.catch(() => {
        if (this.#loaded === loaded) this.#loaded = undefined;
      });
    }
    return this.#loaded;
  }

  async #make(trust: Trust, proxy: UpstreamProxyOption): Promise<Gateway> {
    const { paths, generation, reporter, metrics, log, clock } = this.#options;
    const [{ createGateway }, { createProviderTable }, { createCostOf, dearestModel, loadPrices }] = await Promise.all([
      import("../../egress/gateway.ts"),
      import("../../providers/table.ts"),
      import("../../usage/genai-prices.ts"),
    ]);
    const { config } = generation();
    // reading it takes long enough to hold up every stream of this process: now, while few have begun
    this.#timer = setTimeout(() => {
      try {
        loadPrices();
      } catch (error) {
        log.warn("the table of prices cannot be read, so calls have no price", { error: messageOf(error) });
      }
    }, WARM_MS).unref();
    const costOf = following(
      () => generation().ownPrices,
      (own) => createCostOf(own === undefined ? {} : { own }),
    );
    const table = following(() => generation().config.llm, createProviderTable);
    return createGateway(
      {
        authorityDir: paths.authority,
        ...proxy,
        // every sandbox brings those of its generation
        upstreams: [],
        providers: { recognize: (request) => (generation().config.llm.enabled ? table().recognize(request) : undefined) },
        includeUsage: config.llm.includeUsage,
        drainOnAbort: config.llm.drainOnAbort,
        costOf: (call) => costOf()(call),
        judge: this.#options.judge,
        gate: this.#options.gate({ costOf: (call) => costOf()(call), dearestModel }),
        limits: EGRESS_LIMITS,
        report: reporter.egress,
        metrics,
        log,
        clock,
      },
      trust,
    );
  }

  async #proxy(proxy: EgressSettings["upstreamProxy"]): Promise<UpstreamProxyOption> {
    if (proxy === undefined) return {};
    const credentials = await this.#options.resolveSecret(proxy.auth ?? null);
    return { upstreamProxy: { url: new URL(proxy.url), ...(credentials === undefined ? {} : { credentials }) } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#loaded === undefined) return;
    const gateway = await this.#loaded;
    clearTimeout(this.#timer);
    await gateway[Symbol.asyncDispose]();
  }
}
