import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";
import type { HttpClient, HttpReply } from "./http-client.ts";
import { field, parseJson } from "../../base/parse-json.ts";
import { judgeReply, reasonOf } from "./judge-reply.ts";
import { DELIVERED, flatten, type Sink, type SinkAnswer, type SinkBatch } from "./sink.ts";

export type SplunkOptions = {
  /** of the HTTP Event Collector; `/services/collector/event` is added when it has no path */
  readonly url: string;
  readonly token: string;
  readonly host: string;
  readonly source: string;
  readonly sourcetype: string;
  readonly index?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
  /** ms between questions for an acknowledgement once the first were in vain; default 1 s */
  readonly pollMs?: number;
  /** ms after which a batch without acknowledgement is sent again; default 2 min */
  readonly ackMs?: number;
};

const FIRST_POLL_MS = 50;
const POLL_MS = 1_000;
const ACK_MS = 120_000;
/** codes of 400 that are about the request's addressing and not about an event: no data channel, incorrect index, invalid channel */
const CONFIGURATION_CODES = new Set([7, 10, 11, 14]);

/**
 * Splunk's HTTP Event Collector. Where the server gives an `ackId`, success is the indexer's acknowledgement of it; without one
 * (Splunk Cloud, tokens without acknowledgement) success is 200 with code 0, which only says that the data looked valid. A 400
 * that names `invalid-event-number` sends that event to the dead letters and the others again.
 */
export function createSplunk(options: SplunkOptions, client: HttpClient): Sink {
  const { clock, pollMs = POLL_MS, ackMs = ACK_MS } = options;
  const url = new URL(options.url);
  if (url.pathname === "/") url.pathname = "/services/collector/event";
  const channel = randomUUID();
  const ackUrl = new URL(url);
  ackUrl.pathname = url.pathname.replace(/\/event(\/1\.0)?$|\/raw(\/1\.0)?$/, "/ack");
  ackUrl.searchParams.set("channel", channel);
  const headers = {
    "content-type": "application/json",
    authorization: `Splunk ${options.token}`,
    "x-splunk-request-channel": channel,
    ...options.headers,
  };
  const acknowledged = async (ackId: number, signal: AbortSignal): Promise<SinkAnswer> => {
    const deadline = clock.monotonic() + ackMs;
    // the first questions come soon: an indexer that is quick must not make every batch wait a second
    for (let waitMs = Math.min(FIRST_POLL_MS, pollMs); ; waitMs = Math.min(2 * waitMs, pollMs)) {
      const reply = await client.post(ackUrl.href, headers, JSON.stringify({ acks: [ackId] }), signal);
      if ("failure" in reply || reply.status !== 200) {
        const judged = judgeReply(reply, clock.now());
        return judged.kind === "paused"
          ? judged
          : { kind: "retry", reason: `acknowledgement: ${"failure" in reply ? reply.failure : reasonOf(reply)}` };
      }
      if (field(field(parseJson(reply.body), "acks"), String(ackId)) === true) return DELIVERED;
      if (clock.monotonic() >= deadline) return { kind: "retry", reason: `no acknowledgement of ${ackId} within ${ackMs / 1000} s` };
      await delay(waitMs, undefined, { signal }).catch(() => "the signal ends the wait; the next question sees it");
      if (signal.aborted) return { kind: "retry", reason: "stopped while waiting for the acknowledgement" };
    }
  };
  return {
    send: async (batch, signal) => {
      const flat = flatten(batch.items);
      const reply = await client.post(url.href, headers, bodyOf(batch, options), signal);
      if ("failure" in reply) return judgeReply(reply, clock.now());
      const answer = parseJson(reply.body);
      if (reply.status === 200) {
        if (field(answer, "code") !== 0) return { kind: "retry", reason: `HTTP 200 without code 0: ${reasonOf(reply)}` };
        const ackId = field(answer, "ackId");
        return typeof ackId === "number" ? acknowledged(ackId, signal) : DELIVERED;
      }
      return reply.status === 400
        ? judge400(
            reply,
            answer,
            flat.map(({ index }) => index),
          )
        : judgeReply(reply, clock.now());
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

function bodyOf({ items, mark }: SinkBatch, { host, source, sourcetype, index }: SplunkOptions): string {
  const common = {
    host,
    source,
    sourcetype,
    ...(index === undefined ? {} : { index }),
    ...(mark === undefined ? {} : { fields: { agentkernel_chain_head: mark.head } }),
  };
  return flatten(items)
    .map(({ body, item }) => JSON.stringify({ time: (Date.parse(item.event.timestamp) / 1000).toFixed(3), ...common, event: body }))
    .join("\n");
}

function judge400(reply: HttpReply, answer: unknown, places: readonly number[]): SinkAnswer {
  const reason = reasonOf(reply);
  const code = field(answer, "code");
  if (typeof code === "number" && CONFIGURATION_CODES.has(code)) return { kind: "retry", reason };
  const number = field(answer, "invalid-event-number");
  const index = typeof number === "number" ? places[number] : undefined;
  return { kind: "rejected", reason, rest: "again", ...(index === undefined ? {} : { poison: [{ index, reason }] }) };
}
