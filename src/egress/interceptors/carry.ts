import type { Exchange, Interceptor, ResponseFilter } from "../exchange/exchange.ts";
import type { HeaderList } from "../exchange/header-list.ts";
import { headerOf } from "../exchange/headers.ts";
import { PassingBody, takeRequestBody } from "../exchange/request-body.ts";
import { BodyCapture, MARGIN, showBody } from "../exchange/shown-body.ts";
import type { Judge } from "../judge.ts";
import { requestOf } from "./announce.ts";
import type { Masks } from "./secret-forms.ts";

/**
 * Puts the beginning of both bodies into the exchange's record, when a hook asked for it. The last before the exchange is sent: it
 * sees the response as the sandbox does, without real values and without what was added to it on the way.
 */
export function carryInterceptor(judge: Judge | undefined, masks: Masks): Interceptor {
  return (next) => {
    const carry = async (judge: Judge, exchange: Exchange): Promise<void> => {
      const { request, response } = judge.bodiesFor(requestOf(exchange));
      const mask = masks.of(exchange, judge);
      const sent = exchange.carried === undefined && request > 0 ? await watchRequest(exchange, request) : undefined;
      if (sent === "gone") {
        exchange.end = "aborted";
        return;
      }
      const answer = response > 0 ? new AnswerCapture(response) : undefined;
      if (answer !== undefined) exchange.filters.push(answer);
      await next(exchange);
      if (sent !== undefined) exchange.carried = { request_body: showBody(await sent.end(), request, mask) };
      const captured = await answer?.end();
      if (captured === undefined) return;
      const isWhole = captured.isWhole && exchange.end === "complete";
      exchange.carried = { ...exchange.carried, response_body: showBody({ ...captured, isWhole }, response, mask) };
    };
    return (exchange) => (judge?.wantsBodies === true && !exchange.isUpgrade ? carry(judge, exchange) : next(exchange));
  };
}

/** Sees the request's body as it passes: nothing waits for it. */
async function watchRequest(exchange: Exchange, limit: number): Promise<BodyCapture | "gone" | undefined> {
  if (exchange.downstream.source === null) return undefined;
  if (exchange.body === undefined && (await takeRequestBody(exchange)) === "gone") return "gone";
  const { body } = exchange;
  // what was changed on the way is not compressed any more
  const isCoded = exchange.headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === "content-encoding");
  const capture = new BodyCapture(limit + MARGIN, isCoded ? exchange.request.contentEncoding : undefined);
  if (body?.kind === "bytes") capture.write(body.bytes);
  if (body?.kind === "stream" && body.stream instanceof PassingBody) body.stream.watch((chunk) => capture.write(chunk));
  return capture;
}

class AnswerCapture implements ResponseFilter {
  readonly #limit: number;
  #capture: BodyCapture | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  head(_status: number, headers: HeaderList): HeaderList {
    this.#capture = new BodyCapture(this.#limit + MARGIN, headerOf(headers, "content-encoding"));
    return headers;
  }

  chunk(chunk: Uint8Array): readonly Uint8Array[] {
    this.#capture?.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    return [chunk];
  }

  async end(): Promise<Awaited<ReturnType<BodyCapture["end"]>> | undefined> {
    return this.#capture?.end();
  }
}
