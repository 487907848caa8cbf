import type { Clock } from "../../base/clock.ts";
import { VERSION } from "../../base/version.ts";
import { loadCaFile } from "../../config/ca-file.ts";
import { placeOf, streamName } from "../../config/stream-name.ts";
import type { SinkSpec } from "../../events/delivery/sink-spec.ts";
import { createDatadog } from "../../events/sinks/datadog.ts";
import { createElastic } from "../../events/sinks/elastic.ts";
import { createHttpClient, type HttpClient } from "../../events/sinks/http-client.ts";
import { createHttpWebhook } from "../../events/sinks/http-webhook.ts";
import { LinesFile } from "../../events/sinks/lines-file.ts";
import { createOtlp } from "../../events/sinks/otlp.ts";
import type { Sink } from "../../events/sinks/sink.ts";
import { createSplunk } from "../../events/sinks/splunk.ts";
import { webhookKey } from "../../events/sinks/standard-webhooks.ts";
import { createStdout, type TextWriter } from "../../events/sinks/stdout.ts";
import { Syslog } from "../../events/sinks/syslog.ts";
import type { SecretText, StreamDestination } from "../../schema/audit-stream.ts";
import type { StreamSettings } from "../../schema/settings.ts";
import type { FindSecret } from "../secrets/find-secret.ts";
import { encodeEvent } from "./encode-event.ts";

export type StreamSinkOptions = {
  /** the file that the streams stand in; null: none */
  readonly config: string | null;
  readonly secret: FindSecret;
  /** absent: this process's stdout belongs to somebody else */
  readonly stdout: TextWriter | undefined;
  readonly hostname: string;
  readonly clock: Clock;
};

/** `[[audit.streams]]` as sinks. A stream to stdout waits for a process that has one to give. */
export function streamSpecs(streams: readonly StreamSettings[], options: StreamSinkOptions): readonly SinkSpec[] {
  return streams
    .filter(({ destination }) => destination.type !== "stdout" || options.stdout !== undefined)
    .map((stream) => ({
      name: streamName(stream),
      kind: "stream",
      type: stream.destination.type,
      batchSize: stream.batchSize,
      flushMs: stream.flushMs,
      maxRetries: stream.maxRetries,
      fingerprint: JSON.stringify(stream),
      ...(options.config === null || stream.destination.type === "stdout"
        ? {}
        : { owner: { config: options.config, place: placeOf(stream.destination) } }),
      encode: (event, { chain, seq }) => encodeEvent({ event, chain, seq }, stream.ocsfVersion ?? "native", options.hostname),
      open: (signal) => openSink(stream.destination, options, signal),
    }));
}

async function openSink(destination: StreamDestination, options: StreamSinkOptions, signal: AbortSignal): Promise<Sink> {
  const { clock, hostname } = options;
  const secretOf = (text: SecretText): Promise<string> => options.secret(text, signal);
  switch (destination.type) {
    case "http_webhook": {
      const { url, secret, secrets = [] } = destination;
      const keys = await Promise.all(
        [...(secret === undefined ? [] : [secret]), ...secrets].map(async (text) => webhookKey(await secretOf(text))),
      );
      const userAgent = `agentkernel-audit/${VERSION}`;
      return createHttpWebhook(
        { url, headers: await headersOf(destination, secretOf), keys, body: "array", userAgent, clock },
        await clientOf(destination),
      );
    }
    case "file":
      return new LinesFile({ path: destination.path, rotateBytes: destination.rotate_size, keepsHeads: true, clock });
    case "stdout":
      if (options.stdout === undefined) throw new Error("this process has no stdout to give");
      return createStdout(options.stdout);
    case "splunk": {
      const { url, source, sourcetype, index } = destination;
      const rest = { host: hostname, source, sourcetype, ...(index === undefined ? {} : { index }), clock };
      return createSplunk(
        { url, token: await secretOf(destination.token), headers: await headersOf(destination, secretOf), ...rest },
        await clientOf(destination),
      );
    }
    case "elastic":
      return createElastic(
        { url: destination.url, index: destination.index, headers: await headersOf(destination, secretOf), clock },
        await clientOf(destination),
      );
    case "datadog": {
      const { url, service } = destination;
      const apiKey = await secretOf(destination.api_key);
      return createDatadog(
        { url, apiKey, service, host: hostname, headers: await headersOf(destination, secretOf), clock },
        await clientOf(destination),
      );
    }
    case "otlp":
      return createOtlp(
        { url: destination.url, serviceVersion: VERSION, host: hostname, headers: await headersOf(destination, secretOf), clock },
        await clientOf(destination),
      );
    case "syslog": {
      const { host, port, max_bytes, facility } = destination;
      return new Syslog({ host, port, maxBytes: max_bytes, facility, hostname, version: VERSION, ...(await caOf(destination)) });
    }
    default:
      return destination satisfies never;
  }
}

type WithHeaders = { readonly authorization?: SecretText | undefined; readonly headers?: Readonly<Record<string, SecretText>> | undefined };

async function headersOf(
  { authorization, headers = {} }: WithHeaders,
  secretOf: (text: SecretText) => Promise<string>,
): Promise<Readonly<Record<string, string>>> {
  const given: readonly (readonly [string, SecretText])[] = [
    ...Object.entries(headers),
    ...(authorization === undefined ? [] : [["authorization", authorization] as const]),
  ];
  return Object.fromEntries(await Promise.all(given.map(async ([name, text]) => [name.toLowerCase(), await secretOf(text)] as const)));
}

async function clientOf(destination: { readonly ca_file?: string | undefined }): Promise<HttpClient> {
  return createHttpClient(await caOf(destination));
}

async function caOf({ ca_file }: { readonly ca_file?: string | undefined }): Promise<{ readonly ca?: string }> {
  return ca_file === undefined ? {} : { ca: await loadCaFile("audit.streams.destination.ca_file", ca_file) };
}
