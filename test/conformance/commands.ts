import { below, type Seen } from "./seen.ts";

const options = "e2e/run-options.test.ts";
const limits = "e2e/sandbox-settings.test.ts";
const listing = "e2e/listing-options.test.ts";
const both = (...names: readonly string[]): readonly string[] => [...below("run --", ...names), ...below("create --", ...names)];

/** Options of commands that make sandboxes and run commands, and of `serve`. */
export const COMMANDS: readonly Seen[] = [
  { file: options, title: "--env, --mount, --workspace", keys: both("env", "mount", "workspace", "no-workspace", "allow") },
  { file: options, title: "%s %s is refused by name", keys: both("backend", "template", "image") },
  { file: options, title: "--secret, --secret-file, --allow-host-port", keys: both("secret", "secret-file", "allow-host-port") },
  { file: options, title: "--copy and --apply", keys: both("copy", "apply") },
  { file: options, title: "--profile, --label, --keep and --workdir", keys: below("run --", "profile", "label", "keep", "workdir") },
  { file: options, title: "--profile, --label, --ttl", keys: below("create --", "profile", "label", "ttl") },
  { file: limits, title: "--memory, --pids and --cpus are held", keys: both("memory", "pids", "cpus") },
  { file: "e2e/run.test.ts", title: "ends a command after --timeout with 124", keys: ["run --timeout"] },
  { file: "e2e/run.test.ts", title: "prints what the API returns with --json", keys: ["run --json"] },
  { file: "e2e/terminal.test.ts", title: "--no-tty gives none", keys: ["run --no-tty"] },
  {
    file: options,
    title: "-e, -w, --timeout, -i, -d, -t",
    keys: [
      ...below("exec --", "env", "workdir", "timeout", "interactive", "detach", "tty", "no-tty"),
      ...below("logs --", "follow", "json"),
    ],
  },
  { file: "e2e/server-settings.test.ts", title: "the options of serve stand over it", keys: below("serve --", "host", "port", "stop") },
  { file: "e2e/server-settings.test.ts", title: "or for that of --api-key-file", keys: ["serve --api-key-file"] },
  {
    file: listing,
    title: "--json prints JSON where people get words",
    keys: below("", ...["create", "start", "stop", "ls", "info", "doctor"].map((name) => `${name} --json`)),
  },
];
