import type { Interceptor, Next } from "../exchange/exchange.ts";

/** One function out of the ordered list: the first sees an exchange first and its end last. */
export function chain(interceptors: readonly Interceptor[], last: Next): Next {
  return interceptors.reduceRight<Next>((next, interceptor) => interceptor(next), last);
}
