import { createServer, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { systemClock } from "../../src/base/clock.ts";
import { throwAwayAuthority } from "../../src/demo/stand-in/certificate.ts";
import { createDatadog } from "../../src/events/sinks/datadog.ts";
import { createElastic } from "../../src/events/sinks/elastic.ts";
import type { HttpClient } from "../../src/events/sinks/http-client.ts";
import { createHttpWebhook } from "../../src/events/sinks/http-webhook.ts";
import { createOtlp } from "../../src/events/sinks/otlp.ts";
import type { Sink } from "../../src/events/sinks/sink.ts";
import { createSplunk } from "../../src/events/sinks/splunk.ts";
import type { Behaviour, Received } from "./receiver.ts";

/**
 * Stand-ins for collectors: they speak as much of each protocol as its documentation says a client sees. None of them is the
 * product itself.
 */
export type Collector = {
  readonly name: string;
  open(origin: string, client: HttpClient): Sink;
  /** the product's answer to a request that it takes whole */
  accept(request: Received, count: number): Behaviour;
  /** ids of the events in a request; none for a question about an earlier one */
  ids(request: Received): readonly string[];
};

const clock = systemClock;
const headers = { authorization: "Bearer of-the-test" };

type HasId = { readonly id: string };

export const COLLECTORS: readonly Collector[] = [
  {
    name: "a webhook",
    open: (origin, client) => createHttpWebhook({ url: `${origin}/in`, headers, keys: [], body: "array", userAgent: "t", clock }, client),
    accept: () => ({ status: 204 }),
    ids: ({ body }) => (JSON.parse(body) as readonly HasId[]).map(({ id }) => id),
  },
  {
    name: "a Splunk stand-in with acknowledgements",
    open: (origin, client) =>
      createSplunk(
        { url: origin, token: "t", host: "h", source: "s", sourcetype: "st", headers: {}, clock, pollMs: 5, ackMs: 2_000 },
        client,
      ),
    accept: splunk(),
    ids: splunkIds,
  },
  {
    name: "a Splunk stand-in without acknowledgements",
    open: (origin, client) =>
      createSplunk({ url: origin, token: "t", host: "h", source: "s", sourcetype: "st", headers: {}, clock }, client),
    accept: () => ({ status: 200, body: '{"text":"Success","code":0}' }),
    ids: splunkIds,
  },
  {
    name: "an Elasticsearch stand-in",
    open: (origin, client) => createElastic({ url: origin, index: "audit", headers, clock }, client),
    accept: ({ body }) => ({
      status: 200,
      body: JSON.stringify({ took: 1, errors: false, items: elasticIds(body).map((_id) => ({ create: { _id, status: 201 } })) }),
    }),
    ids: ({ body }) => elasticIds(body),
  },
  {
    name: "a Datadog stand-in",
    open: (origin, client) => createDatadog({ url: origin, apiKey: "k", service: "s", host: "h", headers: {}, clock }, client),
    accept: () => ({ status: 202, body: "{}" }),
    ids: ({ body }) => (JSON.parse(body) as readonly { readonly event_id: string }[]).map(({ event_id }) => event_id),
  },
  {
    name: "an OTLP stand-in",
    open: (origin, client) => createOtlp({ url: origin, serviceVersion: "1", host: "h", headers, clock }, client),
    accept: () => ({ status: 200, body: "{}" }),
    ids: ({ body }) => otlpIds(body),
  },
];

/** One acknowledgement is asked for twice before it comes. */
function splunk(): Collector["accept"] {
  let nextAck = 0;
  const asked = new Map<number, number>();
  return ({ path, body }) => {
    if (!path.startsWith("/services/collector/ack"))
      return { status: 200, body: JSON.stringify({ text: "Success", code: 0, ackId: nextAck++ }) };
    const { acks } = JSON.parse(body) as { readonly acks: readonly number[] };
    const answer = acks.map((ack) => {
      const times = (asked.get(ack) ?? 0) + 1;
      asked.set(ack, times);
      return [ack, times > 1];
    });
    return { status: 200, body: JSON.stringify({ acks: Object.fromEntries(answer) }) };
  };
}

function splunkIds({ path, body }: Received): readonly string[] {
  if (path.startsWith("/services/collector/ack")) return [];
  return body.split("\n").map((line) => (JSON.parse(line) as { readonly event: HasId }).event.id);
}

export function elasticIds(body: string): readonly string[] {
  return body
    .split("\n")
    .filter((line) => line.startsWith('{"create"'))
    .map((line) => (JSON.parse(line) as { readonly create: { readonly _id: string } }).create._id);
}

type OtlpAttribute = { readonly key: string; readonly value: { readonly stringValue?: string } };
type OtlpRequest = {
  readonly resourceLogs: readonly {
    readonly scopeLogs: readonly { readonly logRecords: readonly { readonly attributes: readonly OtlpAttribute[] }[] }[];
  }[];
};

export function otlpIds(body: string): readonly string[] {
  const { resourceLogs } = JSON.parse(body) as OtlpRequest;
  return resourceLogs.flatMap(({ scopeLogs }) =>
    scopeLogs.flatMap(({ logRecords }) =>
      logRecords.map(({ attributes }) => attributes.find(({ key }) => key === "event.id")?.value.stringValue ?? ""),
    ),
  );
}

export type SyslogReceiver = AsyncDisposable & {
  readonly port: number;
  readonly ca: string;
  /** whole messages, in the order of arrival */
  readonly messages: readonly string[];
  /** bytes that were no octet-counted frame */
  readonly faults: readonly string[];
  /** connections that are taken from now on are reset after so many bytes; undefined: not */
  resetAfter(bytes: number | undefined): void;
};

/** A TLS receiver of RFC 5425 frames. */
export async function syslogReceiver(name = "localhost"): Promise<SyslogReceiver> {
  const authority = throwAwayAuthority(Date.now());
  const messages: string[] = [];
  const faults: string[] = [];
  const sockets = new Set<TLSSocket>();
  let limit: number | undefined;
  const server = createServer({ ...authority.leafFor(name) }, (socket) => {
    sockets.add(socket);
    let held = Buffer.alloc(0);
    let seen = 0;
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      seen += chunk.length;
      if (limit !== undefined && seen > limit) {
        socket.destroy();
        return;
      }
      held = Buffer.concat([held, chunk]);
      for (;;) {
        const space = held.indexOf(0x20);
        if (space === -1) return;
        const count = held.toString("latin1", 0, space);
        if (!/^[1-9]\d{0,6}$/.test(count)) {
          faults.push(held.toString("latin1", 0, 80));
          socket.destroy();
          return;
        }
        const end = space + 1 + Number(count);
        if (held.length < end) return;
        messages.push(held.toString("utf8", space + 1, end));
        held = held.subarray(end);
      }
    });
  });
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    ca: authority.caPem,
    messages,
    faults,
    resetAfter: (bytes) => {
      limit = bytes;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
