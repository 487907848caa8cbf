import { setTimeout as delay } from "node:timers/promises";
import { allowCommand } from "../../schema/allow-command.ts";
import type { DecisionEvent, Event, ExchangeEvent } from "../../schema/event.ts";
import { eventLine } from "../event-line.ts";
import { jsonText } from "../output.ts";
import type { Cli } from "../cli.ts";
import { countOf, readTail } from "./audit.ts";

type LogFlags = {
  readonly lines: string;
  readonly follow?: boolean;
  readonly sandbox?: string;
  readonly denied?: boolean;
  readonly json?: boolean;
};

type Decided = ExchangeEvent | DecisionEvent;

/** ms between looks at the log while following it: it holds what every process writes, and no server has to run */
const POLL_MS = 300;
const POLL_LINES = 2_000;

/** `agentkernel policy log`: decisions, newest last; under each denial the command that would allow it. */
export async function log(cli: Cli, flags: LogFlags): Promise<number> {
  const sandbox = flags.sandbox === undefined ? {} : { sandbox: flags.sandbox };
  const types = ["egress.exchange", "egress.decision"] as const;
  const show = (events: readonly Event[]): void => {
    for (const event of events) {
      if (!isDecided(event) || (flags.denied === true && event.decision === "allow")) continue;
      cli.output.out(flags.json === true ? jsonText(event) : eventLine(event));
      const hint = hintOf(event);
      if (hint !== undefined && flags.json !== true) cli.output.out(`    hint: ${hint}`);
    }
  };
  const last = countOf(flags.lines);
  // what is filtered afterwards must not count
  const found = await readTail(cli, { last: flags.denied === true ? POLL_LINES : last, types, ...sandbox });
  show(flags.denied === true ? found.filter((event) => isDecided(event) && event.decision === "deny").slice(-last) : found);
  if (flags.follow !== true) {
    if (found.length === 0 && flags.json !== true) cli.output.note("nothing has asked to leave a sandbox yet");
    return 0;
  }
  let seen = new Set(found.map(({ id }) => id));
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  while (!stop.signal.aborted) {
    await delay(POLL_MS, undefined, { signal: stop.signal }).catch(() => "stopped: the loop's condition sees it");
    const newest = await readTail(cli, { last: POLL_LINES, types, ...sandbox });
    show(newest.filter(({ id }) => !seen.has(id)));
    seen = new Set([...newest.map(({ id }) => id), ...found.map(({ id }) => id)]);
  }
  return 0;
}

function isDecided(event: Event): event is Decided {
  return event.type === "egress.exchange" || event.type === "egress.decision";
}

/** Rules that another rule can overrule; whatever else denies is not for `policy allow` to open. */
const OVERRULED = /^(?:default|--allow|template|secret:.*)$/;
/** Rules that a command made, and a command removes. */
const REMOVABLE = /^api\.rules\[\d+\]$/;

function hintOf(event: Decided): string | undefined {
  if (event.decision !== "deny" || event.host === undefined) return undefined;
  if (REMOVABLE.test(event.rule)) return `agentkernel policy rm ${event.rule}`;
  if (!OVERRULED.test(event.rule)) return undefined;
  const { host, port } = event;
  const name = host.includes(":") ? `[${host}]` : host;
  const target = port === undefined || port === 80 || port === 443 ? name : `${name}:${port}`;
  const isEphemeral = event.sandbox === undefined || /^run-[0-9a-z]{14}$/i.test(event.sandbox);
  return allowCommand(target, isEphemeral ? undefined : event.sandbox);
}
