import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { METRICS, PREFIX, type MetricKey, type MetricRow } from "./table.ts";

type Labels = Readonly<Record<string, string>>;

/** prom-client with its own registry, filled from the table; the only place that knows the library. */
export class MetricRegistry {
  readonly #registry = new Registry();
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #histograms = new Map<string, Histogram>();
  #removals: Promise<unknown> = Promise.resolve();

  constructor() {
    for (const [key, row] of Object.entries<MetricRow>(METRICS)) this.#register(key, row);
    this.#registerProcess();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    await this.#removals;
    return this.#registry.metrics();
  }

  /** Adds to a counter; what is no amount is left out, since a counter must not go down. */
  add(key: MetricKey, labels: Labels, amount = 1): void {
    if (Number.isFinite(amount) && amount > 0) this.#counters.get(key)?.inc(labels, amount);
  }

  set(key: MetricKey, labels: Labels, value: number): void {
    if (Number.isFinite(value)) this.#gauges.get(key)?.set(labels, value);
  }

  change(key: MetricKey, labels: Labels, by: number): void {
    this.#gauges.get(key)?.inc(labels, by);
  }

  observe(key: MetricKey, labels: Labels, value: number): void {
    if (Number.isFinite(value) && value >= 0) this.#histograms.get(key)?.observe(labels, value);
  }

  /** Drops every series with this label value; done by the next `text()`. */
  removeWhere(label: string, value: string): void {
    const metrics = [...this.#counters.values(), ...this.#gauges.values()];
    const removal = Promise.all(
      metrics.map(async (metric) => {
        const { values } = await metric.get();
        for (const entry of values) if (entry.labels[label] === value) metric.remove(entry.labels);
      }),
    );
    this.#removals = Promise.all([this.#removals, removal]);
  }

  #register(key: string, row: MetricRow): void {
    const shared = { name: PREFIX + row.name, help: row.help, labelNames: [...row.labels], registers: [this.#registry] };
    switch (row.kind) {
      case "counter":
        this.#counters.set(key, new Counter(shared));
        break;
      case "gauge":
        this.#gauges.set(key, new Gauge(shared));
        break;
      case "histogram":
        this.#histograms.set(key, new Histogram({ ...shared, buckets: [...(row.buckets ?? [])] }));
        break;
      default:
        row.kind satisfies never;
    }
  }

  /** The names that every dashboard expects of a process; prom-client's own set would keep timers and observers alive. */
  #registerProcess(): void {
    const registers = [this.#registry];
    const cpu: Counter = new Counter({
      name: "process_cpu_seconds_total",
      help: "CPU time, user and system.",
      registers,
      collect: () => {
        const { user, system } = process.cpuUsage();
        cpu.reset();
        cpu.inc((user + system) / 1e6);
      },
    });
    const memory: Gauge = new Gauge({
      name: "process_resident_memory_bytes",
      help: "Resident memory.",
      registers,
      collect: () => memory.set(process.memoryUsage.rss()),
    });
    const start = new Gauge({ name: "process_start_time_seconds", help: "Start of the process, seconds since 1970.", registers });
    start.set(Math.round(performance.timeOrigin / 1000));
  }
}
