import { needlesOf } from "../../secrets/needles.ts";
import type { CutSocket, Exchange, Interceptor } from "../exchange/exchange.ts";
import { withoutHeader } from "../exchange/headers.ts";
import { PassingBody, takeRequestBody } from "../exchange/request-body.ts";
import type { GatewaySecret, RefreshTurn } from "../options.ts";
import type { Runtime } from "../runtime.ts";
import { refusePolicy } from "./policy.ts";
import { putOrgKey } from "./org-key.ts";
import { BodyScan, isIdentity } from "./secret-body.ts";
import { EchoFilter } from "./secret-echo.ts";
import { FrameRedactor, FrameScan, policyClose } from "./secret-frames.ts";
import type { FormsOfSecrets } from "./secret-forms.ts";
import { SecretScopes } from "./secret-scope.ts";
import { answerRenewed, putToken, refreshOf, refuseTurn, takeTokens, tokenEndpointOf } from "./token-refresh.ts";
import { isSigned, resign, type Resigning } from "./sigv4.ts";
import { inContent, substitute, type Misplaced } from "./secret-substitute.ts";
import { isStillAllowed } from "./still-allowed.ts";

const RULE = "secret";
const CODING = "content-encoding";

/**
 * Puts real values in the place of placeholders: in the bound header or query parameter, for the bound host, methods and paths, over
 * a connection that may carry keys. A placeholder anywhere else, bodies included, ends the exchange with a finding; it is worth
 * nothing, but somebody tried. What the answer repeats of a value is taken out again.
 */
export function secretsInterceptor(runtime: Runtime, forms: FormsOfSecrets): Interceptor {
  const scopes = new SecretScopes();
  return (next) => async (exchange) => {
    // what comes behind a body that was waited for is put in as of now
    if (!isStillAllowed(runtime, exchange)) {
      refusePolicy(exchange);
      return;
    }
    const { secrets, orgKeys = [] } = exchange.generation.egress;
    if (secrets.length === 0 && orgKeys.length === 0) {
      await next(exchange);
      return;
    }
    const endpoint = tokenEndpointOf(exchange);
    if (endpoint !== undefined && (await takeTokens(exchange)) === "gone") {
      exchange.end = "aborted";
      return;
    }
    const refreshing = endpoint === undefined ? undefined : refreshOf(exchange, endpoint);
    let resigning: Resigning | undefined;
    let isRenewed = false;
    const pass = async (turn?: RefreshTurn): Promise<void> => {
      const misplaced = secrets.length === 0 ? undefined : await place(turn);
      if (misplaced === "gone") {
        exchange.end = "aborted";
        return;
      }
      if (misplaced !== undefined) {
        block(runtime, exchange, misplaced);
        refusePolicy(exchange);
        return;
      }
      if (isRenewed && turn?.renewed !== undefined) return answerRenewed(runtime, exchange, turn.renewed);
      putOrgKey(exchange, orgKeys, scopes);
      if (exchange.isUpgrade && secrets.length > 0) guardFrames(runtime, exchange, secrets, forms);
      if (exchange.injected.length > 0) askWhole(exchange);
      resigning?.sign();
      if (exchange.injected.length > 0) guardAnswer(runtime, exchange, forms);
      for (const name of exchange.secretsInjected) runtime.metrics.secretInjected(name, exchange.target?.host.text ?? "");
      await next(exchange);
    };
    const place = async (turn?: RefreshTurn): Promise<Misplaced | "gone" | undefined> => {
      const refuseBody = (found: Misplaced): void => block(runtime, exchange, found);
      const signing = isSigned(secrets) ? await resign(exchange, secrets, scopes, runtime.limits.inspectBytes, refuseBody) : undefined;
      if (signing === "gone" || (signing !== undefined && "finding" in signing)) return signing;
      resigning = signing;
      const inHead = substitute(exchange, secrets, scopes);
      if (inHead !== undefined) return inHead;
      if (refreshing !== undefined && turn !== undefined) {
        const put = putToken(runtime, exchange, refreshing, turn);
        if (put !== undefined && put !== "renewed") return put;
        isRenewed = put === "renewed";
      }
      return await inBody(runtime, exchange, secrets, forms);
    };
    // a refresh token is good for one refresh, so the next one waits for what the one before it brought
    if (refreshing === undefined) {
      await pass();
      return;
    }
    const end = await refreshing.endpoint.exclusive(pass);
    if (end !== "done") refuseTurn(exchange, refreshing, end);
  };
}

/** Searches the body for placeholders: one that is there as a whole now, a stream as it passes. */
async function inBody(
  runtime: Runtime,
  exchange: Exchange,
  secrets: readonly GatewaySecret[],
  forms: FormsOfSecrets,
): Promise<Misplaced | "gone" | undefined> {
  // after a handshake come frames, and a request without a body has none
  if (exchange.isUpgrade || (exchange.body === undefined && exchange.downstream.source === null)) return undefined;
  if (exchange.body === undefined && (await takeRequestBody(exchange)) === "gone") return "gone";
  const { body } = exchange;
  if (body === undefined || body.kind === "none") return undefined;
  const { texts, owners } = forms.ofPlaceholders(secrets);
  // what the meter changed is not compressed any more
  const isCoded = exchange.headers.some((name, i) => i % 2 === 0 && name.length === CODING.length && name.toLowerCase() === CODING);
  const coding = isCoded ? exchange.request.contentEncoding : undefined;
  const misplaced = (found: number): Misplaced | undefined => {
    const secret = owners[found];
    return secret === undefined ? undefined : inContent(secret, "the request body");
  };
  if (body.kind === "bytes" && isIdentity(coding)) return misplaced(needlesOf(texts).find(body.bytes));
  const scan = new BodyScan(texts, coding);
  if (body.kind === "bytes") return scan.chunk(body.bytes) || (await scan.end()) ? misplaced(scan.found) : undefined;
  if (!(body.stream instanceof PassingBody)) throw new Error("a body that passes can be guarded");
  body.stream.guard(scan, () => {
    const found = misplaced(scan.found);
    if (found !== undefined) block(runtime, exchange, found);
  });
  return undefined;
}

/** Looks for placeholders in what the sandbox sends over a WebSocket; no compression is agreed on, so that it can be looked into. */
function guardFrames(runtime: Runtime, exchange: Exchange, secrets: readonly GatewaySecret[], forms: FormsOfSecrets): void {
  exchange.headers = withoutHeader(exchange.headers, "sec-websocket-extensions");
  const { texts, owners } = forms.ofPlaceholders(secrets);
  const scan = new FrameScan(texts);
  let cut: CutSocket = () => undefined;
  exchange.socketFilters.push({
    opened: (_headers, cutOff) => (cut = cutOff),
    outgoing: (chunk) => {
      const fault = scan.write(chunk);
      if (fault === undefined) return [chunk];
      const secret = fault === "unreadable" ? undefined : owners[fault.text];
      const reason =
        secret === undefined
          ? "what was sent over the WebSocket is no frame that can be searched for placeholders"
          : `the placeholder of ${secret.name} stands in a message; take it out of what is sent`;
      if (secret !== undefined) block(runtime, exchange, inContent(secret, "a message of the WebSocket"));
      else exchange.decision = { verdict: "deny", rule: RULE, reason, policy: exchange.generation.egress.policy.ref };
      cut([policyClose(reason)]);
      return [];
    },
  });
}

/** Parts of an answer would hold parts of a value; and frames and bodies that are compressed cannot be searched as they pass. */
const NOT_ASKED: ReadonlySet<string> = new Set(["range", "if-range", "accept-encoding", "sec-websocket-extensions"]);

/** The answer is asked for in a form that can be searched. */
function askWhole(exchange: Exchange): void {
  const headers: string[] = [];
  for (let i = 0; i + 1 < exchange.headers.length; i += 2) {
    const name = exchange.headers[i] ?? "";
    if (!NOT_ASKED.has(name.toLowerCase())) headers.push(name, exchange.headers[i + 1] ?? "");
  }
  if (!exchange.isUpgrade) headers.push("accept-encoding", "identity");
  exchange.headers = headers;
}

/** From here on the answer is searched for the values that the request carries. */
function guardAnswer(runtime: Runtime, exchange: Exchange, forms: FormsOfSecrets): void {
  const [first, ...others] = exchange.injected;
  if (first === undefined) return;
  // the list of a single secret is the same each time, and with it what a search wants to know of it
  const values = others.length === 0 ? forms.ofValue(first) : exchange.injected.flatMap((one) => forms.ofValue(one));
  if (values.length === 0) return;
  let isFound = false;
  const onFound = (): void => {
    if (isFound) return;
    isFound = true;
    const host = exchange.target?.host.text ?? "";
    const names = [...new Set(exchange.secretsInjected)].join(", ");
    runtime.metrics.secretBlocked("reflected");
    report(runtime, exchange, first, {
      finding: "secret_echoed",
      outcome: "info",
      severity: "medium",
      reason: `the answer of ${host} repeated the value of ${names}; the sandbox got a placeholder in its place`,
    });
  };
  const echo = new EchoFilter(values, onFound, () => exchange.holding.takeDecoders());
  exchange.filters.push(echo);
  if (!exchange.isUpgrade) return;
  const frames = new FrameRedactor(values);
  exchange.socketFilters.push({
    opened: (_headers, cut) => {
      echo.passBody();
      const unreadable = (): void => cut([policyClose("what the server sent could not be searched for a key")]);
      frames.onBroken = unreadable;
    },
    incoming: (chunk) => {
      const pieces = frames.write(chunk);
      if (frames.found > 0) onFound();
      return pieces;
    },
  });
}

/** Makes the exchange's decision a denial and reports the finding; whoever relays it sends the refusal. */
function block(runtime: Runtime, exchange: Exchange, { secret, finding, reason, hint }: Misplaced): void {
  exchange.secretsInjected.length = 0;
  exchange.injected.length = 0;
  exchange.keySource = "none";
  exchange.decision = {
    verdict: "deny",
    rule: RULE,
    reason,
    policy: exchange.generation.egress.policy.ref,
    ...(hint === undefined ? {} : { hint }),
  };
  runtime.metrics.secretBlocked("host_not_allowed");
  report(runtime, exchange, secret, { finding, outcome: "deny", severity: finding === "secret_misplaced" ? "high" : "medium", reason });
}

function report(
  runtime: Runtime,
  exchange: Exchange,
  secret: GatewaySecret,
  what: { finding: string; outcome: "deny" | "info"; severity: "medium" | "high"; reason: string },
): void {
  const { egress } = exchange.generation;
  const event = {
    type: "security.finding" as const,
    actor: { kind: "sandbox" as const, user_id: egress.name },
    sandbox: egress.name,
    sandbox_uuid: egress.uuid,
    request_id: exchange.id,
    labels: egress.labels,
    host: exchange.target?.host.text ?? "",
    rule: `${RULE}:${secret.name}`,
    ...what,
  };
  runtime.metrics.finding(event);
  runtime.report.finding(event);
}
