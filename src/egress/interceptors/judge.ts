import type { Interceptor } from "../exchange/exchange.ts";
import type { Judge } from "../judge.ts";
import type { Runtime } from "../runtime.ts";
import { announce, requestOf } from "./announce.ts";
import { refusePolicy } from "./policy.ts";

/** Asks those who may deny what the policy allows. Nothing has been dialled yet. */
export function judgeInterceptor(runtime: Pick<Runtime, "report">, judge: Judge | undefined): Interceptor {
  return (next) => async (exchange) => {
    if (judge === undefined) return next(exchange);
    if (judge.isActive) {
      const gone = new AbortController();
      exchange.downstream.onGone(() => gone.abort());
      const answer = await judge.judge(requestOf(exchange), gone.signal);
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
