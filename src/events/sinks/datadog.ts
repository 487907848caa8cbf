import type { Clock } from "../../base/clock.ts";
import type { HttpClient } from "./http-client.ts";
import { judgeReply } from "./judge-reply.ts";
import { flatten, type Poison, type Sink } from "./sink.ts";

export type DatadogOptions = {
  /** of the intake; `/api/v2/logs` is added when it has no path */
  readonly url: string;
  readonly apiKey: string;
  readonly service: string;
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
};

/** A larger entry is cut by the intake and answered with 202 all the same. */
const MAX_ENTRY = 1_000_000;

/**
 * Datadog's log intake. Success is 2xx (202): accepted, which is all that it ever says. What it would cut without a word goes to
 * the dead letters instead.
 */
export function createDatadog(options: DatadogOptions, client: HttpClient): Sink {
  const url = new URL(options.url);
  if (url.pathname === "/") url.pathname = "/api/v2/logs";
  const headers = { "content-type": "application/json", "dd-api-key": options.apiKey, ...options.headers };
  return {
    send: async ({ items, mark }, signal) => {
      const entries = flatten(items).map(({ body, item, index }) => ({
        index,
        text: JSON.stringify({
          ddsource: "agentkernel",
          service: options.service,
          hostname: options.host,
          message: JSON.stringify(body),
          event_id: item.id,
          chain: item.chain,
          sequence: item.seq,
          ...(mark === undefined ? {} : { chain_head: mark.head }),
        }),
      }));
      const poison = entries.flatMap(({ index, text }): Poison[] => {
        const bytes = Buffer.byteLength(text);
        return bytes > MAX_ENTRY ? [{ index, reason: `${bytes} bytes; Datadog cuts entries of more than ${MAX_ENTRY}` }] : [];
      });
      if (poison.length > 0) return { kind: "rejected", reason: poison[0]?.reason ?? "", poison, rest: "again" };
      const body = `[${entries.map(({ text }) => text).join(",")}]`;
      return judgeReply(await client.post(url.href, headers, body, signal), options.clock.now());
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}
