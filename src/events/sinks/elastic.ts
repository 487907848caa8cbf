import type { Clock } from "../../base/clock.ts";
import type { Event } from "../../schema/event.ts";
import type { HttpClient } from "./http-client.ts";
import { field, parseJson } from "../../base/parse-json.ts";
import { excerpt, judgeReply, reasonOf } from "./judge-reply.ts";
import { DELIVERED, type Flat, flatten, type Poison, type Sink, type SinkAnswer, type SinkBatch } from "./sink.ts";

export type ElasticOptions = {
  /** of the cluster; `/_bulk` is added */
  readonly url: string;
  /** index or data stream */
  readonly index: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
};

const CATEGORY: Readonly<Record<Event["type"], readonly string[]>> = {
  "sandbox.operation": ["host"],
  "sandbox.exec": ["process"],
  "sandbox.workspace": ["file"],
  "egress.exchange": ["network", "web"],
  "egress.decision": ["network"],
  "llm.call": ["api"],
  "auth.attempt": ["authentication"],
  "admin.change": ["configuration"],
  "security.finding": ["intrusion_detection"],
  "pool.change": ["host"],
  "audit.log": ["configuration"],
};
const OUTCOME: Readonly<Record<Event["outcome"], string>> = { permit: "success", info: "success", deny: "failure", error: "failure" };

/**
 * Elasticsearch and OpenSearch through `_bulk` with `create` and the event's id as `_id`, so that a repetition is a 409 and never a
 * second document. Success is that every item of the answer is 2xx or 409: the HTTP status says nothing about them. Items of 429
 * and 5xx are tried again, others of 4xx are that event's own fault.
 */
export function createElastic(options: ElasticOptions, client: HttpClient): Sink {
  const url = `${options.url.replace(/\/+$/, "")}/_bulk`;
  const headers = { "content-type": "application/x-ndjson", ...options.headers };
  return {
    send: async (batch, signal) => {
      const flat = flatten(batch.items);
      const reply = await client.post(url, headers, bodyOf(flat, batch, options.index), signal);
      const judged = judgeReply(reply, options.clock.now());
      if ("failure" in reply || judged.kind !== "delivered") return judged;
      return judgeItems(parseJson(reply.body), flat) ?? { kind: "retry", reason: `the answer is not one of _bulk: ${reasonOf(reply)}` };
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

function bodyOf(flat: readonly Flat[], { mark }: SinkBatch, index: string): string {
  const lines = flat.map(({ body, item }) => {
    const { event } = item;
    const document = {
      "@timestamp": event.timestamp,
      event: {
        id: item.id,
        kind: event.type === "security.finding" ? "alert" : "event",
        category: CATEGORY[event.type],
        action: event.type,
        outcome: OUTCOME[event.outcome],
        sequence: item.seq,
      },
      agentkernel: { chain: item.chain, ...(mark === undefined ? {} : { chain_head: mark.head }), record: body },
    };
    return `${JSON.stringify({ create: { _index: index, _id: idOf(body, item.id) } })}\n${JSON.stringify(document)}\n`;
  });
  return lines.join("");
}

/** An OCSF object's own id: the finding beside a denial has another than the denial. */
export function idOf(body: object, fallback: string): string {
  const uid = field(field(body, "metadata"), "uid") ?? field(body, "uid");
  return typeof uid === "string" ? uid : fallback;
}

function judgeItems(answer: unknown, flat: readonly Flat[]): SinkAnswer | undefined {
  const items = field(answer, "items");
  if (!Array.isArray(items) || items.length !== flat.length) return undefined;
  const poison: Poison[] = [];
  let retry: string | undefined;
  for (const [at, item] of items.entries()) {
    const result = field(item, "create");
    const status = field(result, "status");
    if (typeof status !== "number") return undefined;
    if ((status >= 200 && status < 300) || status === 409) continue;
    const reason = `item status ${status}: ${excerpt(JSON.stringify(field(result, "error") ?? ""))}`;
    if (status === 401 || status === 403) return { kind: "paused", reason };
    if (status === 429 || status >= 500) retry ??= reason;
    else poison.push({ index: flat[at]?.index ?? 0, reason });
  }
  if (poison.length > 0)
    return { kind: "rejected", reason: poison[0]?.reason ?? "", poison, rest: retry === undefined ? "delivered" : "again" };
  return retry === undefined ? DELIVERED : { kind: "retry", reason: retry };
}
