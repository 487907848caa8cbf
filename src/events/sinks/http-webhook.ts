import { createHash } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import type { HttpClient } from "./http-client.ts";
import { judgeReply } from "./judge-reply.ts";
import type { Sink, SinkBatch } from "./sink.ts";
import { webhookHeaders } from "./standard-webhooks.ts";

export type HttpWebhookOptions = {
  readonly url: string;
  /** of the operator: `authorization` and others */
  readonly headers: Readonly<Record<string, string>>;
  /** keys that sign, newest first; none: not signed */
  readonly keys: readonly Buffer[];
  /** `array`: a JSON array of all events; `single`: the one event itself */
  readonly body: "array" | "single";
  readonly userAgent: string;
  readonly clock: Clock;
};

/**
 * POSTs JSON. Success is a 2xx that arrived whole: the receiver has taken charge of every event of the array. `webhook-id` is the
 * same for every try of the same events, so that a receiver can drop repetitions. One try; redirects are failures.
 */
export function createHttpWebhook(options: HttpWebhookOptions, client: HttpClient): Sink {
  return {
    send: async (batch, signal) => {
      const bodies = batch.items.flatMap((item) => item.bodies);
      const body = JSON.stringify(options.body === "single" && bodies.length === 1 ? bodies[0] : bodies);
      const now = options.clock.now();
      const headers = {
        "content-type": "application/json",
        "user-agent": options.userAgent,
        ...markHeaders(batch),
        ...webhookHeaders(batchId(batch), now, body, options.keys),
        ...options.headers,
      };
      return judgeReply(await client.post(options.url, headers, body, signal), now);
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** The head of the chain for the receiver to remember (docs/reference/audit-format.md, Anchors). */
export function markHeaders({ mark }: SinkBatch): Readonly<Record<string, string>> {
  if (mark === undefined) return {};
  return { "agentkernel-chain-head": mark.head, ...(mark.checkpoint === undefined ? {} : { "agentkernel-checkpoint": mark.checkpoint }) };
}

/** An event's own id, or one for exactly these events. */
export function batchId({ items }: SinkBatch): string {
  const [only] = items;
  if (items.length === 1 && only !== undefined) return only.id;
  return `bat_${createHash("sha256")
    .update(items.map(({ id }) => id).join("\n"))
    .digest("hex")
    .slice(0, 32)}`;
}
