import { Amount, Distribution, formatLabels, type Labels } from "./series.ts";
import { METRICS, PREFIX, type MetricKey, type MetricRow } from "./table.ts";

type Family<S> = { readonly row: MetricRow; readonly series: Map<string, S> };

/** Every series of the table, and their text exposition, version 0.0.4. */
export class MetricRegistry {
  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";
  readonly #amounts = new Map<MetricKey, Family<Amount>>();
  readonly #distributions = new Map<MetricKey, Family<Distribution>>();

  constructor() {
    for (const key of Object.keys(METRICS) as MetricKey[]) {
      const row: MetricRow = METRICS[key];
      if (row.kind === "histogram") this.#distributions.set(key, { row, series: new Map() });
      else this.#amounts.set(key, { row, series: new Map() });
      // what has no labels is there from the start, with 0
      if (row.labels.length > 0) continue;
      if (row.kind === "histogram") this.histogram(key, {});
      else this.amount(key, {});
    }
  }

  /** The series with these labels; it is counted in, and shown, until `removeWhere` takes it away. */
  amount(key: MetricKey, labels: Labels): Amount {
    return seriesOf(this.#amounts.get(key), labels, Amount);
  }

  histogram(key: MetricKey, labels: Labels): Distribution {
    return seriesOf(this.#distributions.get(key), labels, Distribution);
  }

  add(key: MetricKey, labels: Labels, amount = 1): void {
    this.amount(key, labels).add(amount);
  }

  set(key: MetricKey, labels: Labels, value: number): void {
    this.amount(key, labels).set(value);
  }

  observe(key: MetricKey, labels: Labels, value: number): void {
    this.histogram(key, labels).observe(value);
  }

  /** Drops every series with this label value. */
  removeWhere(label: string, value: string): void {
    for (const { row, series } of [...this.#amounts.values(), ...this.#distributions.values()]) {
      if (!row.labels.includes(label)) continue;
      const wanted = formatLabels([label], { [label]: value });
      for (const labels of series.keys()) if (`,${labels},`.includes(`,${wanted},`)) series.delete(labels);
    }
  }

  text(): string {
    let text = "";
    for (const key of Object.keys(METRICS) as MetricKey[]) {
      const row: MetricRow = METRICS[key];
      const name = PREFIX + row.name;
      let lines = "";
      for (const series of this.#amounts.get(key)?.series.values() ?? []) lines += series.lines(name);
      for (const series of this.#distributions.get(key)?.series.values() ?? []) lines += series.lines(name);
      text += `${heading(name, row.help, row.kind)}${lines}\n\n`;
    }
    return `${text}${processText()}\n`;
  }
}

function seriesOf<S>(family: Family<S> | undefined, labels: Labels, Series: new (row: MetricRow, labels: string) => S): S {
  if (family === undefined) throw new Error("a metric is not of the kind that it is used as");
  const { row, series } = family;
  const key = formatLabels(row.labels, labels);
  let found = series.get(key);
  if (found === undefined) {
    found = new Series(row, key);
    series.set(key, found);
  }
  return found;
}

/** The names that every dashboard expects of a process. */
function processText(): string {
  const { user, system } = process.cpuUsage();
  const rows: readonly (readonly [name: string, help: string, kind: string, value: number])[] = [
    ["process_cpu_seconds_total", "CPU time, user and system.", "counter", (user + system) / 1e6],
    ["process_resident_memory_bytes", "Resident memory.", "gauge", process.memoryUsage.rss()],
    ["process_start_time_seconds", "Start of the process, seconds since 1970.", "gauge", Math.round(performance.timeOrigin / 1000)],
  ];
  return rows.map(([name, help, kind, value]) => `${heading(name, help, kind)}\n${name} ${value}`).join("\n\n");
}

function heading(name: string, help: string, kind: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}`;
}
