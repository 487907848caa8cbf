import type { Interceptor } from "../exchange/exchange.ts";
import type { Runtime } from "../runtime.ts";

/** Tells the gate which model calls are under way, from before they are admitted until they are over, so that it can cut them. */
export function liveInterceptor({ gate }: Runtime): Interceptor {
  return (next) => async (exchange) => {
    const { recognition } = exchange;
    if (recognition === undefined) {
      await next(exchange);
      return;
    }
    const { name, labels } = exchange.generation.egress;
    const ended = gate.begin({
      id: exchange.id,
      sandbox: name,
      labels,
      provider: recognition.provider,
      model: recognition.model ?? null,
      cut: (reason) => {
        const { abort } = exchange;
        abort?.(reason);
        return abort !== undefined;
      },
    });
    // within the try: a step further in may also throw before it gives a promise
    try {
      await next(exchange);
    } finally {
      ended();
    }
  };
}
