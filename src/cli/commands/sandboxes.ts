import { formatSize, parseDuration } from "../../base/units.ts";
import type { SandboxInfo } from "../../schema/api.ts";
import { loadCliConfig } from "../cli-config.ts";
import { connect } from "../connect.ts";
import { printable } from "../output.ts";
import { table } from "../table.ts";
import { labelOf, type PlaceFlags, placeOf } from "../place-options.ts";
import type { Cli } from "../cli.ts";

type JsonFlag = { readonly json?: boolean };

export async function create(cli: Cli, name: string, flags: PlaceFlags & JsonFlag & { readonly ttl?: string }): Promise<number> {
  if (flags.ttl !== undefined) parseDuration(flags.ttl);
  const { env } = await loadCliConfig(cli);
  using client = await connect(cli);
  const info = await client.createSandbox({
    ...placeOf(flags, { cwd: process.cwd(), env }),
    name,
    ...(flags.ttl === undefined ? {} : { ttl: flags.ttl }),
  });
  show(cli, info, flags, `sandbox ${info.name} runs; agentkernel exec -it ${info.name} -- sh`);
  return 0;
}

export async function start(cli: Cli, name: string, flags: JsonFlag): Promise<number> {
  using client = await connect(cli);
  await client.startSandbox(name);
  show(cli, await client.getSandbox(name), flags, `sandbox ${name} runs`);
  return 0;
}

export async function stop(cli: Cli, name: string, flags: JsonFlag): Promise<number> {
  using client = await connect(cli);
  const told = await client.stopSandbox(name);
  show(cli, await client.getSandbox(name), flags, printable(told));
  return 0;
}

export async function remove(cli: Cli, names: readonly string[]): Promise<number> {
  using client = await connect(cli);
  for (const name of names) {
    cli.output.note(printable(await client.removeSandbox(name)));
  }
  return 0;
}

export async function list(cli: Cli, flags: JsonFlag & { readonly label?: string }): Promise<number> {
  const label = flags.label === undefined ? undefined : labelOf(flags.label).join(":");
  using client = await connect(cli);
  const sandboxes: SandboxInfo[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.listSandboxes({
      ...(label === undefined ? {} : { label }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    sandboxes.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  if (flags.json === true) cli.output.json(sandboxes);
  else if (sandboxes.length === 0) cli.output.note("no sandboxes; agentkernel create NAME makes one");
  else
    cli.output.out(
      table(
        sandboxes,
        [
          { title: "NAME", value: (one) => one.name },
          { title: "STATE", value: (one) => one.state },
          { title: "BACKEND", value: (one) => one.backend },
          { title: "PROFILE", value: (one) => one.profile },
          { title: "CREATED", value: (one) => one.created_at },
          {
            title: "WORKSPACE",
            value: (one) => (one.workspace === undefined ? "–" : `${one.workspace.path} (${one.workspace.mode})`),
            wraps: true,
          },
        ],
        cli.output.width,
      ),
    );
  return 0;
}

export async function info(cli: Cli, name: string, flags: JsonFlag): Promise<number> {
  using client = await connect(cli);
  const found = await client.getSandbox(name);
  if (flags.json === true) cli.output.json(found);
  else cli.output.out(describe(found));
  return 0;
}

function show(cli: Cli, info: SandboxInfo, flags: JsonFlag, text: string): void {
  if (flags.json === true) cli.output.json(info);
  else cli.output.note(text);
}

function describe(info: SandboxInfo): string {
  const rows: (readonly [string, string | undefined])[] = [
    ["name", info.name],
    ["uuid", info.uuid],
    ["state", info.reason === undefined ? info.state : `${info.state} (${info.reason})`],
    ["backend", info.backend],
    ["profile", info.profile],
    ["created", info.created_at],
    ["expires", info.expires_at],
    ["workspace", info.workspace === undefined ? "none" : `${info.workspace.path} (${info.workspace.mode})`],
    ["allowed", info.allow.length === 0 ? "nothing by the caller" : info.allow.join(", ")],
    ["secrets", info.secrets.length === 0 ? "none" : info.secrets.join(", ")],
    ...(info.secret_files.length === 0 ? [] : [["secret files", info.secret_files.join(", ")] as const]),
    ...Object.entries(info.limits ?? {}).map(
      ([limit, { value, enforced_by }]) =>
        [`limit ${limit}`, value === null ? "none" : `${amountOf(limit, value)}, held by ${heldBy(limit, enforced_by)}`] as const,
    ),
    ...Object.entries(info.labels).map(([key, value]) => [`label ${key}`, value] as const),
  ];
  return rows.flatMap(([key, value]) => (value === undefined ? [] : [`${key.padEnd(14)}  ${printable(value)}`])).join("\n");
}

/** Bytes as they are written in the configuration. */
function amountOf(limit: string, value: number): string {
  return limit === "memory" || limit === "disk" ? formatSize(value) : String(value);
}

function heldBy(limit: string, by: string): string {
  if (by === "none") return "nothing here";
  return limit === "disk" ? `${by}: of /tmp and /dev/shm; home and workspace have no limit of their own` : by;
}
