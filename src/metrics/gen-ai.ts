import type { LlmEvent } from "../schema/event.ts";
import type { ProviderId } from "../schema/provider.ts";
import { LabelGuard, OTHER } from "./cardinality.ts";

/** Names that OpenTelemetry gives providers; the others are our own. */
const PROVIDER_NAMES: Readonly<Partial<Record<ProviderId, string>>> = {
  google: "gcp.gemini",
  vertex: "gcp.vertex_ai",
  mistral: "mistral_ai",
  xai: "x_ai",
  azure: "azure.ai.openai",
  bedrock: "aws.bedrock",
  moonshot: "moonshot_ai",
};

/** Operations that OpenTelemetry has a name for. */
const OPERATION_NAMES: Readonly<Record<string, string>> = {
  messages: "chat",
  responses: "chat",
  conversation: "chat",
  interaction: "chat",
};

const TOKEN_BOUNDS = Array.from({ length: 14 }, (_, power) => 4 ** power);
const SECOND_BOUNDS = Array.from({ length: 14 }, (_, power) => 0.01 * 2 ** power);

/** How the convention counts; all of it still has the status "development". */
const COUNTERS = {
  "gen_ai.client.inference.usage.input_tokens": "Input tokens, those of the cache included.",
  "gen_ai.client.inference.usage.output_tokens": "Output tokens, those of reasoning included.",
  "gen_ai.client.inference.usage.cache_read.input_tokens": "Input tokens read from the provider's cache.",
  "gen_ai.client.inference.usage.cache_write.input_tokens": "Input tokens written to the provider's cache.",
  "gen_ai.client.inference.usage.reasoning.output_tokens": "Output tokens of reasoning.",
} as const;

const HISTOGRAMS = {
  "gen_ai.client.inference.operation.input_tokens": ["{token}", "Input tokens of a call.", TOKEN_BOUNDS],
  "gen_ai.client.inference.operation.output_tokens": ["{token}", "Output tokens of a call.", TOKEN_BOUNDS],
  "gen_ai.client.inference.duration": ["s", "Time from a call's first byte to the end of its answer.", SECOND_BOUNDS],
  "gen_ai.client.inference.time_to_first_chunk": ["s", "Time to the first byte of an answer.", SECOND_BOUNDS],
} as const;

type Modality = "text" | "image" | "audio" | "unknown";

/**
 * What goes in and comes out of an operation, where it tells by itself. Most take text and pictures alike, and a chat may be spoken:
 * these are unknown.
 */
const MODALITIES: Readonly<Record<string, readonly [input: Modality, output: Modality]>> = {
  text_completion: ["text", "text"],
  messages: ["unknown", "text"],
  responses: ["unknown", "text"],
  rerank: ["text", "unknown"],
  summarize: ["text", "text"],
  classify: ["text", "unknown"],
  image_generation: ["text", "image"],
  image_edit: ["unknown", "image"],
  image_variation: ["image", "image"],
  speech: ["text", "audio"],
  transcription: ["audio", "text"],
  translation: ["audio", "text"],
};

type CounterName = keyof typeof COUNTERS;
type HistogramName = keyof typeof HISTOGRAMS;
type Attributes = Readonly<Record<string, string>>;
type Sum = { readonly attributes: Attributes; value: number };
type Spread = { readonly attributes: Attributes; readonly counts: number[]; sum: number; count: number };

const MODELS = 200;
const MAX_SETS = 2_000;
/** where calls go whose attributes would be one set too many */
const OVERFLOW: Attributes = { "otel.metric.overflow": "true" };

export type OtlpResource = Readonly<Record<string, string>>;

/**
 * Model calls under the `gen_ai.client.inference.*` names of OpenTelemetry's conventions for generative AI, cumulative since the
 * process began. Names of models and sets of attributes are bounded, since both come from inside sandboxes.
 */
export class GenAiMetrics {
  readonly #models = new LabelGuard(MODELS);
  readonly #sets = new Set<string>();
  readonly #sums = new Map<CounterName, Map<string, Sum>>();
  readonly #spreads = new Map<HistogramName, Map<string, Spread>>();

  /** A call that was denied never became one. */
  record(event: Omit<LlmEvent, "id" | "schema_version" | "timestamp">): void {
    if (event.decision === "deny") return;
    const wasServed = event.status !== null && event.status < 300;
    const attributes: Attributes = {
      "gen_ai.operation.name": OPERATION_NAMES[event.operation] ?? event.operation,
      "gen_ai.provider.name": PROVIDER_NAMES[event.provider] ?? event.provider,
      "gen_ai.request.model": this.#models.clean(event.model, wasServed),
      ...(event.response_model === null ? {} : { "gen_ai.response.model": this.#models.clean(event.response_model, wasServed) }),
      ...(event.call_outcome === "ok" ? {} : { "error.type": event.call_outcome }),
    };
    // the convention wants what is billed where it differs from what was used
    const input = event.billed_input_tokens ?? event.input_tokens;
    const output = event.billed_output_tokens ?? event.output_tokens;
    const known = event.call_outcome === "ok" ? null : 0;
    // the convention wants `unknown` for calls that failed
    const [taken, given] = (event.call_outcome === "ok" ? MODALITIES[event.operation] : undefined) ?? (["unknown", "unknown"] as const);
    const read = { ...attributes, "gen_ai.token.modality": taken };
    const written = { ...attributes, "gen_ai.token.modality": given };
    this.#add("gen_ai.client.inference.usage.input_tokens", read, input ?? known);
    this.#add("gen_ai.client.inference.usage.output_tokens", written, output ?? known);
    this.#add("gen_ai.client.inference.usage.cache_read.input_tokens", read, event.cache_read_tokens);
    this.#add("gen_ai.client.inference.usage.cache_write.input_tokens", read, event.cache_write_tokens);
    this.#add("gen_ai.client.inference.usage.reasoning.output_tokens", written, event.reasoning_tokens);
    this.#observe("gen_ai.client.inference.operation.input_tokens", attributes, input);
    this.#observe("gen_ai.client.inference.operation.output_tokens", attributes, output);
    this.#observe("gen_ai.client.inference.duration", attributes, event.latency_ms / 1000);
    this.#observe("gen_ai.client.inference.time_to_first_chunk", attributes, event.ttft_ms === null ? null : event.ttft_ms / 1000);
  }

  /** An `ExportMetricsServiceRequest` in OTLP's JSON; null while nothing was counted. Times in ms since 1970. */
  export(resource: OtlpResource, scope: { readonly version: string }, startMs: number, nowMs: number): object | null {
    if (this.#sums.size === 0 && this.#spreads.size === 0) return null;
    const times = { startTimeUnixNano: nanos(startMs), timeUnixNano: nanos(nowMs) };
    const sums = [...this.#sums].map(([name, series]) => ({
      name,
      unit: "{token}",
      description: COUNTERS[name],
      sum: {
        aggregationTemporality: CUMULATIVE,
        isMonotonic: true,
        dataPoints: [...series.values()].map(({ attributes, value }) => ({
          attributes: encoded(attributes),
          ...times,
          asInt: String(value),
        })),
      },
    }));
    const spreads = [...this.#spreads].map(([name, series]) => {
      const [unit, description, explicitBounds] = HISTOGRAMS[name];
      return {
        name,
        unit,
        description,
        histogram: {
          aggregationTemporality: CUMULATIVE,
          dataPoints: [...series.values()].map(({ attributes, counts, sum, count }) => ({
            attributes: encoded(attributes),
            ...times,
            count: String(count),
            sum,
            bucketCounts: counts.map(String),
            explicitBounds,
          })),
        },
      };
    });
    return {
      resourceMetrics: [
        {
          resource: { attributes: encoded(resource) },
          scopeMetrics: [{ scope: { name: "agentkernel", version: scope.version }, metrics: [...sums, ...spreads] }],
        },
      ],
    };
  }

  #add(name: CounterName, attributes: Attributes, value: number | null): void {
    if (value === null) return;
    const { key, bounded } = this.#bounded(attributes);
    const series = seriesOf(this.#sums, name);
    const found = series.get(key);
    if (found === undefined) series.set(key, { attributes: bounded, value });
    else found.value += value;
  }

  #observe(name: HistogramName, attributes: Attributes, value: number | null): void {
    if (value === null) return;
    const { key, bounded } = this.#bounded(attributes);
    const series = seriesOf(this.#spreads, name);
    const bounds = HISTOGRAMS[name][2];
    let found = series.get(key);
    if (found === undefined) {
      found = { attributes: bounded, counts: new Array<number>(bounds.length + 1).fill(0), sum: 0, count: 0 };
      series.set(key, found);
    }
    const at = bounds.findIndex((bound) => value <= bound);
    const bucket = at < 0 ? bounds.length : at;
    found.counts[bucket] = (found.counts[bucket] ?? 0) + 1;
    found.sum += value;
    found.count += 1;
  }

  #bounded(attributes: Attributes): { readonly key: string; readonly bounded: Attributes } {
    const key = JSON.stringify(attributes);
    if (!this.#sets.has(key)) {
      if (this.#sets.size >= MAX_SETS) return { key: OTHER, bounded: OVERFLOW };
      this.#sets.add(key);
    }
    return { key, bounded: attributes };
  }
}

const CUMULATIVE = 2;

function seriesOf<N, S>(all: Map<N, Map<string, S>>, name: N): Map<string, S> {
  let series = all.get(name);
  if (series === undefined) {
    series = new Map();
    all.set(name, series);
  }
  return series;
}

function encoded(attributes: Attributes): readonly object[] {
  return Object.entries(attributes).map(([key, stringValue]) => ({ key, value: { stringValue } }));
}

function nanos(ms: number): string {
  return String(BigInt(Math.round(ms)) * 1_000_000n);
}
