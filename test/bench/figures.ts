/** What a section of the bench hands back: one row of the table. */
export type Figure = {
  readonly section: string;
  /** what is measured, as a noun phrase */
  readonly name: string;
  readonly unit: "ms" | "requests/s" | "MB/s" | "events/s" | "MiB" | "%" | "events";
  /** ours, by statistic: `p50`, `p99`, `value` … */
  readonly ours: Readonly<Record<string, number>>;
  readonly samples: number;
  readonly target?: Target;
  readonly peers?: readonly Peer[];
  /** how it was measured, in a sentence or two */
  readonly how: string;
};

export type Target = {
  /** the statistic of `ours` that it is about */
  readonly of: string;
  readonly atMost?: number;
  readonly atLeast?: number;
  /** ours must be at least so many times what the peer reaches in the same run */
  readonly times?: { readonly peer: string; readonly factor: number };
};

/** Measured in the same run with the same client, or named as absent. */
export type Peer =
  | { readonly name: string; readonly values: Readonly<Record<string, number>> }
  | { readonly name: string; readonly absent: string };

/** Does the figure meet its target? undefined: there is none, or the peer that it is held against was absent. */
export function isMet(figure: Figure): boolean | undefined {
  const { target } = figure;
  const value = target === undefined ? undefined : figure.ours[target.of];
  if (target === undefined || value === undefined) return undefined;
  if (target.times !== undefined) {
    const { peer: name, factor } = target.times;
    const peer = figure.peers?.find((one) => one.name.startsWith(name));
    const reached = peer !== undefined && "values" in peer ? peer.values[target.of] : undefined;
    return reached === undefined ? undefined : value >= reached * factor;
  }
  return value <= (target.atMost ?? Number.POSITIVE_INFINITY) && value >= (target.atLeast ?? Number.NEGATIVE_INFINITY);
}

/** Nearest-rank percentiles: each is a value that was measured. */
export function percentiles<const P extends number>(samples: readonly number[], ...wanted: readonly P[]): Record<`p${P}`, number> {
  if (samples.length === 0) throw new Error("nothing was measured");
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (p: number): number => sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? Number.NaN;
  return Object.fromEntries(wanted.map((p) => [`p${p}`, at(p)])) as Record<`p${P}`, number>;
}

export function median(values: readonly number[]): number {
  return percentiles(values, 50).p50;
}

export function difference<K extends string>(ours: Readonly<Record<K, number>>, direct: Readonly<Record<K, number>>): Record<K, number> {
  return Object.fromEntries(Object.keys(ours).map((key) => [key, ours[key as K] - direct[key as K]])) as Record<K, number>;
}
