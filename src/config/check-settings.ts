import type { Config, LimitSettings } from "../schema/settings.ts";
import type { Fault } from "./check-keys.ts";
import { streamName } from "./stream-name.ts";

/** What no single value shows: the first contradiction between two of them. */
export function checkSettings(config: Config): Fault | undefined {
  return (
    limitsInsideMax(config.sandbox.limits, config.sandbox.max) ??
    oneUpstreamEach(config) ??
    oneStreamEach(config) ??
    oneHookEach(config) ??
    oneProviderEach(config) ??
    limitsAreMetered(config)
  );
}

const LIMIT_KEYS: Readonly<Record<keyof LimitSettings, string>> = {
  memoryBytes: "memory",
  cpus: "cpus",
  pids: "pids",
  openFiles: "open_files",
  scratchBytes: "scratch",
};

function limitsInsideMax(limits: LimitSettings, max: LimitSettings): Fault | undefined {
  for (const [name, key] of Object.entries(LIMIT_KEYS) as [keyof LimitSettings, string][]) {
    const [limit, most] = [limits[name], max[name]];
    if (limit !== undefined && most !== undefined && limit > most) {
      return { key: `sandbox.limits.${key}`, message: `is above sandbox.max.${key}`, hint: `lower it, or raise sandbox.max.${key}` };
    }
  }
  return undefined;
}

function oneUpstreamEach(config: Config): Fault | undefined {
  const seen = new Set<string>();
  for (const [at, { host }] of config.egress.upstreams.entries()) {
    const name = host.toLowerCase().replace(/\.$/, "");
    if (seen.has(name)) return { key: `egress.upstreams[${at}].host`, message: "is named twice", hint: "keep one upstream for each host" };
    seen.add(name);
  }
  return undefined;
}

/** Budgets and permitted models hold only for calls that are recognised: without that they would be read and do nothing. */
function limitsAreMetered({ llm }: Config): Fault | undefined {
  const seen = new Set<string>();
  for (const [at, { id }] of llm.budgets.entries()) {
    if (seen.has(id)) return { key: `llm.budgets[${at}]`, message: `has the name ${id} of another budget`, hint: "give each its own `id`" };
    seen.add(id);
  }
  if (llm.enabled) return undefined;
  const hint = "remove it, or set llm.enabled = true";
  if (llm.budgets.length > 0) return { key: "llm.budgets", message: "cannot be enforced with llm.enabled = false", hint };
  if (llm.models.allow.length > 0 || llm.models.deny.length > 0)
    return { key: "llm.models", message: "cannot be enforced with llm.enabled = false", hint };
  return undefined;
}

/** A host belongs to one provider: a second row for it would be read and do nothing. */
function oneProviderEach({ llm }: Config): Fault | undefined {
  const names = new Set<string>();
  const hosts = new Map<string, string>();
  const claim = (key: string, host: string): Fault | undefined => {
    const name = host.toLowerCase().replace(/\.$/, "");
    const other = hosts.get(name);
    if (other !== undefined) return { key, message: `is named in ${other} as well`, hint: "keep one provider for each host" };
    hosts.set(name, key);
    return undefined;
  };
  for (const [at, provider] of llm.providers.entries()) {
    if (names.has(provider.name))
      return { key: `llm.providers[${at}].name`, message: "is that of another provider", hint: "add its hosts to the other one" };
    names.add(provider.name);
    for (const [host, name] of provider.hosts.entries()) {
      const fault = claim(`llm.providers[${at}].hosts[${host}]`, name);
      if (fault !== undefined) return fault;
    }
  }
  for (const [at, host] of llm.customDomains.entries()) {
    const fault = claim(`llm.custom_domains[${at}]`, host);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function oneStreamEach(config: Config): Fault | undefined {
  const seen = new Set<string>();
  for (const [at, stream] of config.audit.streams.entries()) {
    const name = streamName(stream);
    if (seen.has(name)) return { key: `audit.streams[${at}].name`, message: "is that of another stream", hint: "give each its own name" };
    seen.add(name);
  }
  return undefined;
}

function oneHookEach(config: Config): Fault | undefined {
  const seen = new Set<string>();
  for (const [at, { name }] of config.proxy.hooks.entries()) {
    if (seen.has(name)) return { key: `proxy.hooks[${at}].name`, message: "is that of another hook", hint: "give each its own name" };
    seen.add(name);
  }
  return undefined;
}
