import { below, type Seen } from "./seen.ts";

const hooks = "e2e/hook-settings.test.ts";
const streams = "integration/stream-settings.test.ts";
const to = (type: string, ...keys: readonly string[]): readonly string[] => below(`audit.streams.destination(${type}).`, ...keys);

/** Hooks and streams of `agentkernel.toml`. */
export const DESTINATIONS: readonly Seen[] = [
  {
    file: hooks,
    title: "filters: each key alone",
    keys: below("proxy.hooks.", "name", ...below("filter.", "sandbox", "label", "host", "provider", "model", "decision", "status")),
  },
  {
    file: hooks,
    title: "webhooks: credentials, headers, roots",
    keys: below("proxy.hooks.", "secret", "secrets", "batch", ...below("target(webhook).", "url", "authorization", "headers", "ca_file")),
  },
  {
    file: hooks,
    title: "files: where hook_file_dirs permit",
    keys: ["proxy.hook_file_dirs", ...below("proxy.hooks.target", "(file).path", "(file).rotate_size", "(audit)")],
  },
  { file: hooks, title: "decisions: asked within timeout_ms", keys: below("proxy.hooks.", "mode", "timeout_ms", "cache_ttl") },
  { file: hooks, title: "unsafe_allow_private opens private addresses", keys: ["proxy.unsafe_allow_private"] },
  { file: "e2e/hooks.test.ts", title: "of the configuration see each request of a run", keys: ["proxy.hooks.event"] },
  { file: "e2e/hook-bodies.test.ts", title: "with include_body get bodies without secrets", keys: ["proxy.hooks.include_body"] },
  {
    file: streams,
    title: "address, credentials, headers, roots and its own keys",
    keys: [
      ...to("http_webhook", "url", "authorization", "headers", "secret", "secrets", "ca_file"),
      ...to("splunk", "url", "token", "index", "source", "sourcetype", "headers", "ca_file"),
      ...to("elastic", "url", "index", "authorization", "headers", "ca_file"),
      ...to("datadog", "url", "api_key", "service", "headers", "ca_file"),
      ...to("otlp", "url", "authorization", "headers", "ca_file"),
    ],
  },
  {
    file: streams,
    title: "syslog: host, port, facility",
    keys: to("syslog", "host", "port", "max_bytes", "facility", "ca_file"),
  },
  { file: streams, title: "a file is renamed past its rotate_size", keys: to("file", "path", "rotate_size") },
  { file: "e2e/server-settings.test.ts", title: "a stream to stdout is written there", keys: ["audit.streams.destination(stdout)"] },
  {
    file: streams,
    title: "batches hold batch_size events",
    keys: below("audit.streams.", "batch_size", "flush_interval_secs", "ocsf_enabled", "ocsf_version"),
  },
  { file: streams, title: "a stream is reported as failing after max_retries tries", keys: below("audit.streams.", "name", "max_retries") },
];
