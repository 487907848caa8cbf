import { background } from "../../base/background.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { VERSION } from "../../base/version.ts";
import { loadCaFile } from "../../config/ca-file.ts";
import type { EventLog } from "../../events/log.ts";
import { createHttpClient, type HttpClient } from "../../events/sinks/http-client.ts";
import { GenAiMetrics } from "../../metrics/gen-ai.ts";
import type { OtlpSettings } from "../../schema/settings.ts";
import type { FindSecret } from "../secrets/find-secret.ts";

/** ms for one export, its secrets included; the figures are cumulative, so what does not arrive comes with the next one */
const EXPORT_MS = 10_000;
/** ms that the end of a process waits for its last figures */
const LAST_MS = 2_000;

export type OtlpMetricsOptions = {
  readonly settings: OtlpSettings;
  readonly events: Pick<EventLog, "subscribe">;
  readonly secret: FindSecret;
  readonly hostname: string;
  readonly clock: Clock;
  readonly log: Log;
};

/** `[llm.otlp]`: what this process's model calls use, sent to a collector at intervals and once more in the end. */
export class OtlpMetrics implements AsyncDisposable {
  readonly #options: OtlpMetricsOptions;
  readonly #metrics = new GenAiMetrics();
  readonly #client: HttpClient;
  readonly #startedAt: number;
  readonly #unsubscribe: () => void;
  readonly #timer: NodeJS.Timeout;
  #sending: Promise<void> | undefined;
  #isFailing = false;
  /** ends the export under way: the last one has its figures too */
  readonly #stop = new AbortController();

  private constructor(options: OtlpMetricsOptions, client: HttpClient) {
    this.#options = options;
    this.#client = client;
    this.#startedAt = options.clock.now();
    this.#unsubscribe = options.events.subscribe((event) => {
      if (event.type === "llm.call") this.#metrics.record(event);
    });
    this.#timer = setInterval(
      () => this.#export(AbortSignal.any([this.#stop.signal, AbortSignal.timeout(EXPORT_MS)])),
      options.settings.intervalMs,
    ).unref();
  }

  /** @throws CONFIG_INVALID for a `ca_file` that cannot be used */
  static async open(options: OtlpMetricsOptions): Promise<OtlpMetrics> {
    const { caFile } = options.settings;
    const ca = caFile === undefined ? {} : { ca: await loadCaFile("llm.otlp.ca_file", caFile) };
    return new OtlpMetrics(options, createHttpClient({ ...ca, totalMs: EXPORT_MS }));
  }

  #export(signal: AbortSignal): void {
    if (this.#sending !== undefined) return;
    const sending = this.#send(signal).finally(() => (this.#sending = undefined));
    this.#sending = sending;
    background("export metrics", sending, this.#options.log);
  }

  async #send(signal: AbortSignal): Promise<void> {
    const { clock, hostname, log, settings } = this.#options;
    const resource = {
      "service.name": "agentkernel",
      "service.version": VERSION,
      "service.instance.id": `${hostname}:${process.pid}`,
      "host.name": hostname,
    };
    const request = this.#metrics.export(resource, { version: VERSION }, this.#startedAt, clock.now());
    if (request === null) return;
    const failed = await this.#post(JSON.stringify(request), signal);
    // it was not the collector's fault
    if (signal.aborted && signal.reason === this.#stop.signal.reason) return;
    // one line for an outage, not one for each try
    if (failed !== undefined && !this.#isFailing) log.warn("metrics could not be exported", { url: settings.url, error: failed });
    if (failed === undefined && this.#isFailing) log.info("metrics are exported again", { url: settings.url });
    this.#isFailing = failed !== undefined;
  }

  /** Why it did not arrive; undefined when it did. */
  async #post(body: string, signal: AbortSignal): Promise<string | undefined> {
    const { settings, secret } = this.#options;
    const url = new URL(settings.url);
    if (url.pathname === "/") url.pathname = "/v1/metrics";
    try {
      const headers: Record<string, string> = { "content-type": "application/json" };
      for (const [name, text] of Object.entries(settings.headers)) headers[name.toLowerCase()] = await secret(text, signal);
      const reply = await this.#client.post(url.href, headers, body, signal);
      if ("failure" in reply) return reply.failure;
      return reply.status >= 200 && reply.status < 300 ? undefined : `status ${reply.status}`;
    } catch (error) {
      return messageOf(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe();
    this.#stop.abort();
    await this.#sending;
    this.#export(AbortSignal.timeout(LAST_MS));
    await this.#sending;
    await this.#client[Symbol.asyncDispose]();
  }
}
