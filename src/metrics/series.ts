import type { MetricRow } from "./table.ts";

export type Labels = Readonly<Record<string, string>>;

/** One time series of a counter or gauge. Callers that know their labels keep it, so that a count costs an addition. */
export class Amount {
  /** `a="x",b="y"`, or empty */
  readonly labels: string;
  readonly #isCounter: boolean;
  value = 0;
  /** a series of a labelled metric shows once something was counted, as Prometheus clients do */
  isShown: boolean;

  constructor(row: MetricRow, labels: string) {
    this.labels = labels;
    this.#isCounter = row.kind === "counter";
    this.isShown = row.labels.length === 0;
  }

  /** What is no amount is left out, and a counter does not go down. */
  add(amount: number): void {
    if (!Number.isFinite(amount) || (this.#isCounter && amount <= 0)) return;
    this.value += amount;
    this.isShown = true;
  }

  set(value: number): void {
    if (!Number.isFinite(value)) return;
    this.value = value;
    this.isShown = true;
  }

  lines(name: string): string {
    return this.isShown ? `\n${name}${braced(this.labels)} ${this.value}` : "";
  }
}

/** One time series of a histogram. */
export class Distribution {
  readonly labels: string;
  readonly #bounds: readonly number[];
  /** by bucket, not cumulative; the last one is +Inf */
  readonly #counts: number[];
  #sum = 0;
  #count = 0;
  #isShown: boolean;

  constructor(row: MetricRow, labels: string) {
    this.labels = labels;
    this.#bounds = row.buckets ?? [];
    this.#counts = new Array<number>(this.#bounds.length + 1).fill(0);
    this.#isShown = row.labels.length === 0;
  }

  observe(value: number): void {
    if (!Number.isFinite(value) || value < 0) return;
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] ?? 0)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
    this.#count += 1;
    this.#isShown = true;
  }

  lines(name: string): string {
    if (!this.#isShown) return "";
    const rest = this.labels === "" ? "" : `,${this.labels}`;
    let text = "";
    let below = 0;
    this.#bounds.forEach((bound, i) => {
      below += this.#counts[i] ?? 0;
      text += `\n${name}_bucket{le="${bound}"${rest}} ${below}`;
    });
    const own = braced(this.labels);
    return `${text}\n${name}_bucket{le="+Inf"${rest}} ${this.#count}\n${name}_sum${own} ${this.#sum}\n${name}_count${own} ${this.#count}`;
  }
}

/** Label values escaped as the text format asks: backslash, line feed, quote. */
export function formatLabels(names: readonly string[], labels: Labels): string {
  return names.map((name) => `${name}="${escapeValue(labels[name] ?? "")}"`).join(",");
}

function escapeValue(text: string): string {
  return /[\\\n"]/.test(text) ? text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"') : text;
}

function braced(labels: string): string {
  return labels === "" ? "" : `{${labels}}`;
}
