/** What `promtool check metrics` and its parser complain about in Prometheus' text format, version 0.0.4; empty when all is well. */
export function faultsOf(text: string): readonly string[] {
  const faults: string[] = [];
  const kinds = new Map<string, string>();
  const helped = new Set<string>();
  const closed = new Set<string>();
  const series = new Set<string>();
  let family = "";
  if (text !== "" && !text.endsWith("\n")) faults.push("the last line does not end");
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, word, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (word !== undefined) {
      if (name !== family) {
        if (closed.has(name)) faults.push(`${name}: not in one piece`);
        closed.add(name);
        family = name;
      }
      if (word === "HELP") {
        if (rest.trim() === "" || helped.has(name)) faults.push(`${name}: no help, or two`);
        helped.add(name);
      } else {
        if (kinds.has(name)) faults.push(`${name}: two types`);
        kinds.set(name, rest);
        if (rest === "counter" && !name.endsWith("_total")) faults.push(`${name}: a counter without _total`);
        if (rest !== "counter" && name.endsWith("_total")) faults.push(`${name}: _total and no counter`);
        if (rest !== "histogram" && /_(?:bucket|count|sum)$/.test(name)) faults.push(`${name}: the suffix of a histogram`);
        if (/_(?:ms|milliseconds|minutes|hours|kb|mb)(?:_total)?$/.test(name)) faults.push(`${name}: not in base units`);
        if (/[A-Z]/.test(name)) faults.push(`${name}: not in snake case`);
      }
      continue;
    }
    const [, metric = "", labels = "", value = ""] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (metric === "") {
      faults.push(`not a line of the format: ${line.slice(0, 120)}`);
      continue;
    }
    const base = kinds.get(family) === "histogram" ? metric.replace(/_(?:bucket|count|sum)$/, "") : metric;
    if (base !== family) faults.push(`${metric}: a sample outside its family`);
    if (!helped.has(base) || !kinds.has(base)) faults.push(`${base}: no HELP or no TYPE`);
    if (!/^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/.test(value)) faults.push(`${metric}: ${value} is no number`);
    if (labels !== "" && !/^(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"(?:,(?!$)|$))+$/.test(labels))
      faults.push(`${metric}: labels {${labels.slice(0, 120)}}`);
    const key = `${metric}{${labels}}`;
    if (series.has(key)) faults.push(`${key}: twice`);
    series.add(key);
  }
  return faults;
}
