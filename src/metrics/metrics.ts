/** The one table of metrics. Filled by `metrics/`; every name, label and bucket is declared here and nowhere else. */
export interface Metrics {
  /** Prometheus text exposition */
  text(): Promise<string>;
}
