import { isAbsolute, resolve } from "node:path";
import type { Command } from "commander";
import { AppError } from "../base/error.ts";
import { parseSize } from "../base/units.ts";
import { oneOf, portOf, positive, wholeNumber } from "./flag-values.ts";
import { collect } from "./declare/collect.ts";
import { type HostEnvironment, OWN_VARIABLES } from "../config/env.ts";
import type { CreateSandboxRequest } from "../schema/api.ts";

/** The options that `run` and `create` share, as commander gives them. */
export type PlaceFlags = {
  readonly backend?: string;
  readonly profile?: string;
  readonly template?: string;
  readonly image?: string;
  readonly env: readonly string[];
  readonly workspace?: string | false;
  readonly copy?: boolean;
  readonly apply?: boolean;
  readonly mount: readonly string[];
  readonly secret: readonly string[];
  readonly secretFile: readonly string[];
  readonly allow: readonly string[];
  readonly allowHostPort: readonly string[];
  readonly label: readonly string[];
  readonly memory?: string;
  readonly cpus?: string;
  readonly pids?: string;
};

export function addPlaceOptions(command: Command): Command {
  return command
    .option("-b, --backend <name>", "how the sandbox runs: bubblewrap")
    .option("-p, --profile <name>", "permissive, moderate or restrictive")
    .option("-t, --template <name>", "recipe of the sandbox")
    .option("-i, --image <image>", "root file system, on backends that take images")
    .option("-e, --env <K=V>", "environment variable inside; K alone passes the host's value", collect, [])
    .option("--workspace <dir>", "directory given as /workspace (default: the current one)")
    .option("--no-workspace", "give no directory")
    .option("--copy", "work on a copy of the workspace")
    .option("--apply", "write a copy's changes back without asking")
    .option("--mount <src:dst[:ro]>", "another directory inside", collect, [])
    .option("--secret <name:host[:header]>", "a key that never enters: the gateway puts it in for this host", collect, [])
    .option(
      "--secret-file <name[:path]>",
      "logins of an agent, with placeholders for the tokens: codex, claude-code, gemini, or one of [[secret_files]]",
      collect,
      [],
    )
    .option("--allow <host>", "a host that may be reached, as api.example.com, *.example.com or host:port", collect, [])
    .option("--allow-host-port <port>", "an HTTP service of this machine, inside host.agentkernel.internal:PORT", collect, [])
    .option("--label <k=v>", "a label to find and to budget it by", collect, [])
    .option("--memory <size>", "memory limit, as 512MiB")
    .option("--cpus <n>", "cores, as 0.5")
    .option("--pids <n>", "processes and threads");
}

type Place = Omit<CreateSandboxRequest, "name" | "ttl">;

/** Flags to what the API takes. @throws AppError VALIDATION naming the flag */
export function placeOf(flags: PlaceFlags, context: { readonly cwd: string; readonly env: HostEnvironment }): Place {
  return {
    ...(flags.backend === undefined ? {} : { backend: oneOf("--backend", flags.backend, ["bubblewrap", "docker", "nomad", "qemu"]) }),
    ...(flags.profile === undefined ? {} : { profile: oneOf("--profile", flags.profile, ["permissive", "moderate", "restrictive"]) }),
    ...(flags.template === undefined ? {} : { template: flags.template }),
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...(flags.env.length === 0 ? {} : { env: environmentOf(flags.env, context.env) }),
    workspace: flags.workspace === false ? null : resolve(context.cwd, flags.workspace ?? "."),
    ...(flags.copy === true ? { copy: true } : {}),
    ...(flags.apply === true ? { apply: true } : {}),
    ...(flags.mount.length === 0 ? {} : { mounts: flags.mount.map((text) => mountOf(text, context.cwd)) }),
    ...(flags.secret.length === 0 ? {} : { secrets: flags.secret.map(secretOf) }),
    ...(flags.secretFile.length === 0 ? {} : { secret_files: flags.secretFile.map((text) => secretFileOf(text, context.cwd)) }),
    ...(flags.allow.length === 0 ? {} : { allow: [...flags.allow] }),
    ...(flags.allowHostPort.length === 0 ? {} : { allow_host_ports: flags.allowHostPort.map((text) => portOf("--allow-host-port", text)) }),
    ...(flags.label.length === 0 ? {} : { labels: Object.fromEntries(flags.label.map(labelOf)) }),
    ...(flags.memory === undefined ? {} : { memory_mb: Math.ceil(parseSize(flags.memory) / 1024 ** 2) }),
    ...(flags.cpus === undefined ? {} : { vcpus: positive("--cpus", flags.cpus) }),
    ...(flags.pids === undefined ? {} : { pids: wholeNumber("--pids", flags.pids, { min: 1 }) }),
  };
}

/** `K=V`, or `K` for the host's own value. */
export function environmentOf(pairs: readonly string[], host: HostEnvironment): Record<string, string> {
  const env: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    const name = equals < 0 ? pair : pair.slice(0, equals);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw new AppError("VALIDATION", `--env ${pair}: ${name} is no variable name`, { hint: "write --env NAME=VALUE" });
    const value = equals < 0 ? passedOn(name, host) : pair.slice(equals + 1);
    if (value === undefined)
      throw new AppError("VALIDATION", `--env ${name}: the variable is not set here`, { hint: `write --env ${name}=VALUE` });
    env[name] = value;
  }
  return env;
}

/** Our own variables hold our keys. */
function passedOn(name: string, host: HostEnvironment): string | undefined {
  return OWN_VARIABLES.some((own) => own === name) ? undefined : host.get(name);
}

function mountOf(text: string, cwd: string): { source: string; target: string; read_only: boolean } {
  const [source, target, mode, ...rest] = text.split(":");
  const isWell =
    source !== undefined &&
    source !== "" &&
    target !== undefined &&
    isAbsolute(target) &&
    (mode === undefined || mode === "ro" || mode === "rw");
  if (!isWell || rest.length > 0)
    throw new AppError("VALIDATION", `--mount ${text} is not SRC:DST or SRC:DST:ro`, { hint: "the target is an absolute path inside" });
  return { source: resolve(cwd, source), target, read_only: mode === "ro" };
}

/** A value never stands in argv: other processes can read it there, and shells keep it in their history. */
function secretOf(text: string): string {
  const name = text.slice(0, text.search(/[=:]/));
  if (/^[^:]*=/.test(text)) {
    throw new AppError("VALIDATION", "a secret's value must not stand on the command line", {
      hint: `agentkernel secret set ${name} (the value is read from stdin), then --secret ${name}:HOST`,
    });
  }
  // what stands there may be the value itself: it is not repeated
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}(?::|$)/.test(text))
    throw new AppError("VALIDATION", "--secret does not begin with the name of a variable", {
      hint: "agentkernel secret set NAME, then --secret NAME:HOST",
    });
  if (!text.includes(":")) throw new AppError("VALIDATION", `--secret ${text} names no host`, { hint: `write --secret ${text}:HOST` });
  return text;
}

/** `NAME`, or `NAME:PATH` with a path of this directory. */
function secretFileOf(text: string, cwd: string): string {
  const colon = text.indexOf(":");
  const name = colon === -1 ? text : text.slice(0, colon);
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name) || colon === text.length - 1)
    throw new AppError("VALIDATION", `--secret-file ${text} is not NAME or NAME:PATH`, { hint: "write --secret-file codex" });
  return colon === -1 ? name : `${name}:${resolve(cwd, text.slice(colon + 1))}`;
}

export function labelOf(text: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals <= 0) throw new AppError("VALIDATION", `--label ${text} is not KEY=VALUE`, { hint: "as team=core" });
  return [text.slice(0, equals), text.slice(equals + 1)];
}
