import { connect } from "../connect.ts";
import { eventLine } from "../event-line.ts";
import { jsonText } from "../output.ts";
import type { Cli } from "../cli.ts";
import { countOf, readTail } from "./audit.ts";

/** `agentkernel logs NAME [EXEC]`: what was recorded about a sandbox, or a detached command's output. */
export async function logs(
  cli: Cli,
  name: string,
  exec: string | undefined,
  flags: { readonly lines: string; readonly json?: boolean },
): Promise<number> {
  if (exec !== undefined) {
    using client = await connect(cli);
    const { stdout = "", stderr = "" } = await client.detachedLogs(name, exec);
    cli.output.raw(stdout, stderr);
    return 0;
  }
  const events = await readTail(cli, { last: countOf(flags.lines), sandbox: name });
  if (events.length === 0 && flags.json !== true) cli.output.note(`nothing was recorded about a sandbox ${name}`);
  for (const event of events) {
    cli.output.out(flags.json === true ? jsonText(event) : eventLine(event));
  }
  return 0;
}
