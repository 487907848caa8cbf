import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { StatePaths } from "../config/paths.ts";
import type { CallGate, EgressLimits, Gateway, Judge } from "../egress/gateway.ts";
import type { UpstreamProxy } from "../egress/options.ts";
import type { SecretReference } from "../schema/secret-reference.ts";
import type { EgressSettings } from "../schema/settings.ts";
import type { Secret } from "../base/secret.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Prices } from "./call-usage.ts";
import type { EgressGeneration } from "./egress-policy.ts";
import type { Reporter } from "./reporter.ts";

/** Terminal behaviour at each limit is documented in docs/reference/limits.md. */
export const EGRESS_LIMITS: EgressLimits = {
  connectionsPerSandbox: 256,
  connectionsPerListener: 192,
  handshakeTimeoutMs: 10_000,
  headBytes: 64 * 1024,
  idleTimeoutMs: 60 * 60_000,
  connectTimeoutMs: 10_000,
  inspectBytes: 32 * 1024 ** 2,
};

/** ms from the first sandbox until the table of prices is read; a command that ends sooner never pays for it */
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

/** The gateway, made when the first sandbox with a network needs it: most command lines never do. */
export class LazyGateway implements AsyncDisposable {
  readonly #options: LazyGatewayOptions;
  #made: Promise<Gateway> | undefined;
  #warming: NodeJS.Timeout | undefined;

  constructor(options: LazyGatewayOptions) {
    this.#options = options;
  }

  get(): Promise<Gateway> {
    if (this.#made === undefined) {
      const made = this.#make();
      this.#made = made;
      // what was missing (room on the disk, a descriptor) may be there at the next try
      made.catch(() => {
        if (this.#made === made) this.#made = undefined;
      });
    }
    return this.#made;
  }

  async #make(): Promise<Gateway> {
    const { paths, generation, reporter, metrics, log, clock } = this.#options;
    const [{ createGateway }, { createProviderTable }, { createCostOf, dearestModel, loadPrices }] = await Promise.all([
      import("../egress/gateway.ts"),
      import("../providers/table.ts"),
      import("../usage/genai-prices.ts"),
    ]);
    const { config, extraCa } = generation();
    // reading it takes long enough to hold up every stream of this process: now, while the sandbox is only being made
    this.#warming = setTimeout(() => {
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
    return createGateway({
      authorityDir: paths.authority,
      ...(extraCa === undefined ? {} : { extraCa }),
      ...(await this.#proxy(config.egress.upstreamProxy)),
      // every sandbox brings those of its generation
      upstreams: [],
      providers: { recognize: (request) => (generation().config.llm.enabled ? table().recognize(request) : undefined) },
      includeUsage: config.llm.includeUsage,
      costOf: (call) => costOf()(call),
      judge: this.#options.judge,
      gate: this.#options.gate({ costOf: (call) => costOf()(call), dearestModel }),
      limits: EGRESS_LIMITS,
      report: reporter.egress,
      metrics,
      log,
      clock,
    });
  }

  async #proxy(proxy: EgressSettings["upstreamProxy"]): Promise<{ readonly upstreamProxy?: UpstreamProxy }> {
    if (proxy === undefined) return {};
    const credentials = await this.#options.resolveSecret(proxy.auth ?? null);
    return { upstreamProxy: { url: new URL(proxy.url), ...(credentials === undefined ? {} : { credentials }) } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#warming);
    if (this.#made === undefined) return;
    const gateway = await this.#made;
    await gateway[Symbol.asyncDispose]();
  }
}
