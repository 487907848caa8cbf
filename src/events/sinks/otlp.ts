import type { Clock } from "../../base/clock.ts";
import type { Event } from "../../schema/event.ts";
import { idOf } from "./elastic.ts";
import type { HttpClient } from "./http-client.ts";
import { field, parseJson } from "../../base/parse-json.ts";
import { excerpt, judgeReply, reasonOf } from "./judge-reply.ts";
import { DELIVERED, flatten, type Sink, type SinkBatch } from "./sink.ts";

export type OtlpOptions = {
  /** of the collector; `/v1/logs` is added when it has no path */
  readonly url: string;
  readonly serviceVersion: string;
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
};

/** OpenTelemetry logs data model, SeverityNumber */
const SEVERITY: Readonly<Record<Event["outcome"], { readonly severityNumber: number; readonly severityText: string }>> = {
  permit: { severityNumber: 9, severityText: "INFO" },
  info: { severityNumber: 9, severityText: "INFO" },
  deny: { severityNumber: 13, severityText: "WARN" },
  error: { severityNumber: 17, severityText: "ERROR" },
};

/**
 * OTLP logs over HTTP in JSON. Success is 200 with no rejected record: `partialSuccess.rejectedLogRecords` above 0 is final for
 * those records. Which they are is not said, so the batch is taken apart until each rejected one stands alone and goes to the
 * dead letters; the accepted ones among them arrive again, with the same `event.id`. 5xx other than the protocol's retryable ones
 * are held as well: a collector that fails for an hour must not fill the dead letters.
 */
export function createOtlp(options: OtlpOptions, client: HttpClient): Sink {
  const url = new URL(options.url);
  if (url.pathname === "/") url.pathname = "/v1/logs";
  const headers = { "content-type": "application/json", ...options.headers };
  return {
    send: async (batch, signal) => {
      const now = options.clock.now();
      const reply = await client.post(url.href, headers, JSON.stringify(requestOf(batch, options, now)), signal);
      const judged = judgeReply(reply, now);
      if ("failure" in reply || judged.kind !== "delivered") return judged;
      const answer = parseJson(reply.body);
      if (reply.body.trim() !== "" && (typeof answer !== "object" || answer === null)) {
        return { kind: "retry", reason: `the answer is not one of OTLP: ${reasonOf(reply)}` };
      }
      const partial = field(answer, "partialSuccess");
      const rejected = Number(field(partial, "rejectedLogRecords") ?? 0);
      if (!(rejected > 0)) return DELIVERED;
      const said = field(partial, "errorMessage");
      const reason = `${rejected} records were rejected: ${typeof said === "string" ? excerpt(said) : "no reason given"}`;
      if (rejected < flatten(batch.items).length) return { kind: "rejected", reason, rest: "again" };
      return { kind: "rejected", reason, poison: batch.items.map((_, index) => ({ index, reason })), rest: "delivered" };
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

function requestOf(batch: SinkBatch, options: OtlpOptions, now: number): object {
  const { mark } = batch;
  return {
    resourceLogs: [
      {
        resource: {
          attributes: attributes({
            "service.name": "agentkernel",
            "service.version": options.serviceVersion,
            "host.name": options.host,
            ...(mark === undefined ? {} : { "agentkernel.chain_head": mark.head }),
          }),
        },
        scopeLogs: [
          {
            scope: { name: "agentkernel.audit", version: options.serviceVersion },
            logRecords: flatten(batch.items).map(({ body, item }) => ({
              timeUnixNano: `${Date.parse(item.event.timestamp)}000000`,
              observedTimeUnixNano: `${now}000000`,
              ...SEVERITY[item.event.outcome],
              eventName: `agentkernel.${item.event.type}`,
              body: anyValue(body),
              attributes: attributes({
                "event.id": idOf(body, item.id),
                "agentkernel.chain": item.chain,
                "agentkernel.sequence": item.seq,
              }),
            })),
          },
        ],
      },
    ],
  };
}

function attributes(values: Readonly<Record<string, unknown>>): readonly object[] {
  return Object.entries(values).map(([key, value]) => ({ key, value: anyValue(value) }));
}

/** opentelemetry-proto `AnyValue` in proto3 JSON: 64-bit integers are strings. */
function anyValue(value: unknown): object {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number") return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  if (typeof value === "object" && value !== null)
    return { kvlistValue: { values: attributes(value as Readonly<Record<string, unknown>>) } };
  return {};
}
