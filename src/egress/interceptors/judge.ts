import type { Exchange, Interceptor } from "../exchange/exchange.ts";
import { PassingBody, takeRequestBody } from "../exchange/request-body.ts";
import { cutBody } from "../../schema/shown-body.ts";
import { BodyCapture, MARGIN, showBody } from "../exchange/shown-body.ts";
import type { Judge } from "../judge.ts";
import type { Runtime } from "../runtime.ts";
import { announce, requestOf } from "./announce.ts";
import { heldForMetering } from "./meter.ts";
import { refusePolicy } from "./policy.ts";
import type { Masks } from "./secret-forms.ts";

/** Asks those who may deny what the policy allows. Nothing has been dialled yet. */
export function judgeInterceptor(runtime: Runtime, judge: Judge | undefined, masks: Masks): Interceptor {
  return (next) => async (exchange) => {
    if (judge === undefined) return next(exchange);
    const look = judge.wantsBodies ? await lookIn(runtime, judge, masks, exchange) : "ready";
    if (look === "gone") {
      exchange.end = "aborted";
      return;
    }
    if (judge.isActive) {
      const gone = new AbortController();
      exchange.downstream.onGone(() => gone.abort());
      const { shownRequest: body } = exchange;
      const asked = {
        ...requestOf(exchange),
        ...(body === undefined ? {} : { body }),
        ...(look === "late" ? { isBodyLate: true as const } : {}),
      };
      const answer = await judge.judge(asked, gone.signal);
      if (answer.verdict === "deny" && exchange.decision !== undefined) {
        exchange.decision = { ...exchange.decision, verdict: "deny", rule: answer.rule, reason: answer.reason };
        announce(runtime, judge, exchange);
        refusePolicy(exchange);
        return;
      }
    }
    announce(runtime, judge, exchange);
    await next(exchange);
  };
}

/** Holds as much of the request's body as somebody wants to see before it leaves; `late`: there was less of it in time. */
async function lookIn(runtime: Runtime, judge: Judge, masks: Masks, exchange: Exchange): Promise<"ready" | "late" | "gone"> {
  if (exchange.isUpgrade || exchange.downstream.source === null) return "ready";
  const { before, request } = judge.bodiesFor(requestOf(exchange));
  if (before === 0) return "ready";
  // what the meter wants to have whole, it can only have when it was held so far
  let look: "ready" | "late" = "ready";
  const held = {
    holdBytes: heldForMetering(runtime, exchange.recognition),
    lookBytes: before + MARGIN,
    lookMs: runtime.limits.lookTimeoutMs,
    onLate: (): void => void (look = "late"),
  };
  if ((await takeRequestBody(exchange, held)) === "gone") return "gone";
  const { body } = exchange;
  const { contentEncoding, contentLength } = exchange.request;
  const capture = new BodyCapture(before + MARGIN, contentEncoding);
  const isWhole = body?.kind !== "stream";
  const pieces =
    body?.kind === "bytes" ? [body.bytes] : body?.kind === "stream" && body.stream instanceof PassingBody ? body.stream.beginning : [];
  for (const piece of pieces) capture.write(piece);
  const captured = isWhole ? await capture.end() : await capture.end(contentLength);
  exchange.shownRequest = showBody(captured, before, masks.of(exchange, judge));
  if (request > 0) exchange.carried = { request_body: cutBody(exchange.shownRequest, request) };
  return look;
}
