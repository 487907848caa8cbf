import { parseSince } from "../../base/duration.ts";
import { allowCommand } from "../../schema/allow-command.ts";
import type { Event } from "../../schema/event.ts";
import { eventLine } from "../event-line.ts";
import { jsonText } from "../output.ts";
import type { Cli } from "../cli.ts";
import { countOf, readEvents } from "../read-events.ts";

type LogFlags = {
  readonly lines: string;
  readonly follow?: boolean;
  readonly sandbox?: string;
  readonly since?: string;
  readonly denied?: boolean;
  readonly json?: boolean;
};

/** `agentkernel policy log`: decisions, newest last; under each denial the command that would allow it. */
export async function log(cli: Cli, flags: LogFlags): Promise<number> {
  const query = {
    last: countOf(flags.lines),
    types: ["egress.exchange", "egress.decision"] as const,
    ...(flags.sandbox === undefined ? {} : { sandbox: flags.sandbox }),
    ...(flags.since === undefined ? {} : { sinceMs: parseSince(flags.since, Date.now()) }),
    ...(flags.denied === true ? { decision: "deny" as const } : {}),
  };
  let isEmpty = true;
  for await (const event of readEvents(cli, query, flags.follow === true)) {
    isEmpty = false;
    cli.output.out(flags.json === true ? jsonText(event) : eventLine(event));
    const hint = hintOf(event);
    if (hint !== undefined && flags.json !== true) cli.output.out(`    hint: ${hint}`);
  }
  if (isEmpty && flags.json !== true) cli.output.note("no decisions");
  return 0;
}

/** Rules that another rule can overrule; whatever else denies is not for `policy allow` to open. */
const OVERRULED = /^(?:default|--allow|template|secret:.*)$/;
/** Rules that a command made, and a command removes. */
const REMOVABLE = /^api\.rules\[\d+\]$/;

function hintOf(event: Event): string | undefined {
  if (event.type !== "egress.exchange" && event.type !== "egress.decision") return undefined;
  if (event.decision !== "deny" || event.host === undefined) return undefined;
  if (REMOVABLE.test(event.rule)) return `agentkernel policy rm ${event.rule}`;
  if (!OVERRULED.test(event.rule)) return undefined;
  const { host, port } = event;
  const name = host.includes(":") ? `[${host}]` : host;
  const target = port === undefined || port === 80 || port === 443 ? name : `${name}:${port}`;
  const isEphemeral = event.sandbox === undefined || /^run-[0-9a-z]{14}$/i.test(event.sandbox);
  return allowCommand(target, isEphemeral ? undefined : event.sandbox);
}
