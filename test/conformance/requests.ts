import { below, type Seen } from "./seen.ts";

const fields = "e2e/request-fields.test.ts";
const listing = "e2e/listing-options.test.ts";
const hooks = "e2e/hook-settings.test.ts";
const run = (...names: readonly string[]): readonly string[] => below("POST /run: ", ...names);
const create = (...names: readonly string[]): readonly string[] => below("POST /sandboxes: ", ...names);
const exec = (...names: readonly string[]): readonly string[] => below("POST /sandboxes/{name}/exec: ", ...names);
const detach = (...names: readonly string[]): readonly string[] => below("POST /sandboxes/{name}/exec/detach: ", ...names);

/** Fields of the bodies of the API. */
export const REQUESTS: readonly Seen[] = [
  {
    file: fields,
    title: "env, workspace, copy, apply, mounts",
    keys: [...run("command", "env", "workspace", "copy", "apply", "mounts"), ...below("Mount: ", "source", "target", "read_only")],
  },
  { file: fields, title: "profile, limits, labels and keep", keys: run("profile", "memory_mb", "vcpus", "pids", "labels", "keep") },
  {
    file: fields,
    title: "allow, secrets in both forms",
    keys: [
      ...run("allow", "secrets"),
      ...below("SecretBinding: ", "name", "host", "header", "scheme", "query", "methods", "paths", "value"),
    ],
  },
  { file: fields, title: "allow_host_ports and secret_files of run", keys: run("allow_host_ports", "secret_files") },
  {
    file: fields,
    title: "%j is refused by name",
    keys: [...run("template", "backend", "image"), ...create("template", "backend", "image")],
  },
  { file: fields, title: "workdir, stdin and timeout_ms of run", keys: run("workdir", "stdin", "timeout_ms") },
  { file: fields, title: "apply, allow_host_ports and secret_files of create", keys: create("apply", "allow_host_ports", "secret_files") },
  {
    file: fields,
    title: "every field of create, exec and detach",
    keys: [
      ...create("name", "ttl", "profile", "env", "vcpus", "memory_mb", "pids", "workspace", "copy", "mounts", "secrets", "allow", "labels"),
      "POST /sandboxes/{name}/extend: by",
      ...exec("command", "env", "workdir", "sudo", "stdin", "timeout_ms"),
      ...detach("command", "env", "workdir", "sudo", "timeout_ms"),
    ],
  },
  { file: "integration/api.test.ts", title: "runs a batch in order", keys: ["POST /batch/run: commands"] },
  {
    file: listing,
    title: "llm budget set keeps",
    keys: below("PUT /llm/budgets/{id}: ", "scope", "unit", "limit", "window", "on_exceed"),
  },
  { file: fields, title: "PUT /llm/keys/{target} names a secret", keys: below("PUT /llm/keys/{target}: ", "vault_key_name", "value") },
  { file: listing, title: "POST /audit/verify heeds", keys: below("POST /audit/verify: ", "from", "key", "anchors") },
  {
    file: listing,
    title: "dead letters are sent again and removed",
    keys: [
      ...below("POST /audit/replay: ", "sink", "dead", "since", "purge"),
      ...below("POST /proxy/hooks/{name}/replay: ", "dead", "since", "purge"),
    ],
  },
  {
    file: hooks,
    title: "over the API: what it is told of",
    keys: below(
      "POST /proxy/hooks: ",
      ...["name", "event", "target", "filter", "secret", "secrets", "mode", "cache_ttl", "include_body", "batch"],
    ),
  },
  { file: listing, title: "hooks add keeps", keys: ["POST /proxy/hooks: timeout_ms"] },
  { file: "e2e/secrets.test.ts", title: "a rotated value takes effect at once", keys: below("POST /secrets: ", "name", "value") },
  {
    file: fields,
    title: "keeps a rule that is named, and refuses",
    keys: [...below("PUT /policy: ", "generation", "file", "default", "mode", "locked"), ...below("Rule: ", "id", "source")],
  },
  {
    file: fields,
    title: "decides by each field of a rule",
    keys: ["PUT /policy: rules", ...below("Rule: ", "host", "ports", "methods", "paths", "effect", "sandbox")],
  },
];

/** Taken for clients that send them, and without an effect: `docs/reference/api.md` says so. */
export const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  "POST /run: fast": "`fast` is taken for clients that send it, and changes nothing",
  "PUT /policy: sandboxes": "`sandboxes`, which only shows, is not read",
};
