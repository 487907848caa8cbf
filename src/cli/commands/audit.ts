import { AppError } from "../../base/error.ts";
import { parseDuration } from "../../base/units.ts";
import type { Event, EventType } from "../../schema/event.ts";
import { loadCliConfig } from "../cli-config.ts";
import { eventLine } from "../event-line.ts";
import { jsonText } from "../output.ts";
import type { Cli } from "../cli.ts";

type TailFlags = { readonly lines: string; readonly sandbox?: string; readonly since?: string; readonly json?: boolean };

/** `agentkernel audit tail`: reads the log itself, so that it works whether or not a server runs. */
export async function tail(cli: Cli, flags: TailFlags): Promise<number> {
  const events = await readTail(cli, {
    last: countOf(flags.lines),
    ...(flags.sandbox === undefined ? {} : { sandbox: flags.sandbox }),
    ...(flags.since === undefined ? {} : { sinceMs: Date.now() - parseDuration(flags.since) }),
  });
  for (const event of events) cli.output.out(flags.json === true ? jsonText(event) : eventLine(event));
  return 0;
}

export async function readTail(
  cli: Cli,
  query: { readonly last: number; readonly sandbox?: string; readonly sinceMs?: number; readonly types?: readonly EventType[] },
): Promise<readonly Event[]> {
  const config = await loadCliConfig(cli);
  const { tailAudit } = await import("../../app/audit.ts");
  return tailAudit(config.paths, query);
}

export function countOf(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 100_000)
    throw new AppError("VALIDATION", `-n ${text} is not a number from 1 to 100000`);
  return value;
}

/** `agentkernel audit verify`: the exit code is the verdict. */
export async function verify(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  const config = await loadCliConfig(cli);
  const { verifyAudit } = await import("../../app/audit.ts");
  const report = await verifyAudit(config.paths);
  if (flags.json === true) cli.output.json(report);
  else {
    cli.output.out(`${report.verdict}: ${report.events} events in ${report.chains.length} chains, ${report.anchor}`);
    for (const chain of report.chains)
      if (chain.verdict !== "intact") cli.output.out(`  ${chain.chain}: ${chain.verdict}: ${chain.detail}`);
  }
  return report.exit;
}
