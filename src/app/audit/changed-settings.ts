import type { Config } from "../../schema/settings.ts";

/** Names of the settings that differ, as they stand in the file: `egress.rules`, `llm.budgets`. Never a value. */
export function changedSettings(before: Config, after: Config): readonly string[] {
  return changed(before, after).flatMap(([section, a, b]) => {
    if (!isTable(a) || !isTable(b)) return [section];
    return changed(a, b).map(([key]) => `${section}.${key}`);
  });
}

function changed(before: object, after: object): readonly (readonly [string, unknown, unknown])[] {
  const [a, b] = [new Map<string, unknown>(Object.entries(before)), new Map<string, unknown>(Object.entries(after))];
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((key) => differs(a.get(key), b.get(key)))
    .map((key) => [nameOf(key), a.get(key), b.get(key)] as const);
}

/** `maxAgeMs` stands in the file as `max_age`. */
function nameOf(key: string): string {
  return key.replace(/Ms$/, "").replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function isTable(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function differs(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b);
}

const SECTIONS = ["server", "audit"] as const;

/** A section without what is read for every call. */
function settledAtStart(config: Config, section: (typeof SECTIONS)[number]): unknown {
  if (section === "audit") {
    const { streams: _streams, ...settled } = config.audit;
    return settled;
  }
  return config[section];
}

/** Settings that are read once, when the process starts. */
export function needingRestart(before: Config, after: Config): readonly string[] {
  return [
    ...SECTIONS.filter((section) => differs(settledAtStart(before, section), settledAtStart(after, section))),
    // everything else about models holds from the next call on
    ...(before.llm.drainOnAbort === after.llm.drainOnAbort ? [] : ["llm.drain_on_abort"]),
    ...(differs(before.llm.otlp, after.llm.otlp) ? ["llm.otlp"] : []),
    ...(before.llm.includeUsage === after.llm.includeUsage ? [] : ["llm.include_usage"]),
    ...(before.egress.caFile === after.egress.caFile ? [] : ["egress.ca_file"]),
    ...(differs(before.egress.upstreamProxy, after.egress.upstreamProxy) ? ["egress.upstream_proxy"] : []),
  ];
}
