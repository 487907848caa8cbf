import { messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import { Attachment } from "./accept/attachment.ts";
import type { CallGate } from "./admission.ts";
import type { Exchange } from "./exchange/exchange.ts";
import { createHttp1, KEEP_ALIVE_MS } from "./exchange/h1.ts";
import { createHttp2 } from "./exchange/h2.ts";
import { carryInterceptor } from "./interceptors/carry.ts";
import { chain } from "./interceptors/chain.ts";
import { forward } from "./interceptors/forward.ts";
import { judgeInterceptor } from "./interceptors/judge.ts";
import { identityInterceptor } from "./interceptors/identity.ts";
import { liveInterceptor } from "./interceptors/live.ts";
import { meterInterceptor } from "./interceptors/meter.ts";
import { policyInterceptor } from "./interceptors/policy.ts";
import { recordInterceptor } from "./interceptors/record.ts";
import { FormsOfSecrets, Masks } from "./interceptors/secret-forms.ts";
import { secretsInterceptor } from "./interceptors/secrets.ts";
import type { EgressReporter, Gateway, GatewayOptions } from "./options.ts";
import type { Runtime } from "./runtime.ts";
import { ServerContexts } from "./tls/contexts.ts";
import { openTrust, type Trust } from "./trust.ts";
import { Drains } from "./upstream/drains.ts";
import { Origins } from "./upstream/origin.ts";
import { systemResolve } from "./upstream/resolve.ts";
import { CountedResponses } from "../usage/counted-responses.ts";

export type { Judge, JudgedRequest, Judgement, WantedBodies } from "./judge.ts";
export type { Admission, CallEnd, CallGate, CallRequest, LiveCall } from "./admission.ts";
export type {
  EgressAttachment,
  EgressLimits,
  EgressReporter,
  Gateway,
  GatewayOptions,
  GatewaySecret,
  SandboxEgress,
  SandboxListeners,
  RefreshGrant,
  RefreshTurn,
  TokenEndpoint,
  TurnEnd,
  Upstream,
} from "./options.ts";

const LEAVES = 1000;

/** Where nobody limits model calls. */
const OPEN_GATE: CallGate = {
  isActive: false,
  begin: () => () => undefined,
  admit: () => ({ verdict: "allow", settle: () => undefined }),
};

/**
 * The one way out of every sandbox.
 *
 * @param opened what sandboxes were made with already
 * @throws AppError STATE_UNUSABLE when the authority's key cannot be used
 */
export async function createGateway(options: GatewayOptions, opened?: Trust): Promise<Gateway> {
  const { providers, includeUsage, costOf, limits, report, metrics, log, clock, upstreams } = options;
  const { authority, roots, bundlePem } = opened ?? (await openTrust(options));
  const attachments = new Set<AsyncDisposable>();
  const runtime: Runtime = {
    providers,
    includeUsage,
    costOf,
    limits,
    report: guarded(report, log),
    metrics,
    log,
    clock,
    upstreams,
    counted: new CountedResponses(),
    gate: options.gate ?? OPEN_GATE,
    drains: options.drainOnAbort === true ? new Drains() : undefined,
    resolve: options.resolve ?? systemResolve,
    contexts: new ServerContexts(authority, clock, metrics, LEAVES),
    ...(options.upstreamProxy === undefined ? {} : { upstreamProxy: { ca: roots, ...options.upstreamProxy } }),
    origins: new Origins(roots),
    attachments,
    serve: (exchange) => exchange.connection.attachment.track(serve(exchange)),
    acceptHttp1: (connection, socket) => http1.accept(connection, socket),
    acceptHttp2: (connection, socket) => http2.accept(connection, socket),
  };
  const forms = new FormsOfSecrets();
  const masks = new Masks(forms);
  const path = chain(
    [
      recordInterceptor(runtime),
      identityInterceptor(providers),
      policyInterceptor(runtime, options.judge),
      judgeInterceptor(runtime, options.judge, masks),
      liveInterceptor(runtime),
      meterInterceptor(runtime),
      secretsInterceptor(runtime, forms),
      carryInterceptor(options.judge, masks),
    ],
    forward(runtime),
  );
  const serve = async (exchange: Exchange): Promise<void> => {
    await path(exchange);
    const { connection } = exchange;
    if (connection.exchanges.size === 0 && connection.deadlineAt === 0) connection.deadlineAt = clock.monotonic() + KEEP_ALIVE_MS;
  };
  const http1 = createHttp1(runtime);
  const http2 = createHttp2(runtime);
  return {
    authorityPem: authority.certificate,
    trustBundlePem: bundlePem,
    attach: (egress, listeners) => {
      const attachment = new Attachment(runtime, egress, listeners);
      attachments.add(attachment);
      return attachment;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...attachments].map((attachment) => attachment[Symbol.asyncDispose]()));
    },
  };
}

/** A reporter whose faults cost a log line and never a connection; a fault of `blocked` blocks. */
function guarded(report: EgressReporter, log: Log): EgressReporter {
  const safely = (kind: string, deliver: () => void): void => {
    try {
      deliver();
    } catch (error) {
      log.error("an event could not be reported", { kind, error: messageOf(error) });
    }
  };
  return {
    exchange: (event) => safely("exchange", () => report.exchange(event)),
    decision: (event) => safely("decision", () => report.decision(event)),
    llm: (event) => safely("llm", () => report.llm(event)),
    finding: (event) => safely("finding", () => report.finding(event)),
    blocked: () => {
      try {
        return report.blocked();
      } catch (error) {
        return messageOf(error);
      }
    },
  };
}
