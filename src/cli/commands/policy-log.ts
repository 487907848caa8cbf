import { parseSince } from "../../base/duration.ts";
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
    ...(flags.denied === true ? { denied: true } : {}),
  };
  const { allowHint } = await import("../../app/egress/allow-hint.ts");
  let isEmpty = true;
  for await (const event of readEvents(cli, query, flags.follow === true)) {
    isEmpty = false;
    cli.output.out(flags.json === true ? jsonText(event) : eventLine(event));
    const hint = allowHint(event);
    if (hint !== undefined && flags.json !== true) cli.output.out(`    hint: ${hint}`);
  }
  if (isEmpty && flags.json !== true) cli.output.note("no decisions");
  return 0;
}
