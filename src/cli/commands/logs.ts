import { AppError } from "../../base/error.ts";
import { connect } from "../connect.ts";
import { eventLine } from "../event-line.ts";
import { jsonText } from "../output.ts";
import type { Cli } from "../cli.ts";
import { countOf, readEvents } from "../read-events.ts";

/** `agentkernel logs NAME [EXEC]`: what was recorded about a sandbox, or a detached command's output. */
export async function logs(
  cli: Cli,
  name: string,
  exec: string | undefined,
  flags: { readonly lines?: string; readonly follow?: boolean; readonly json?: boolean },
): Promise<number> {
  if (exec !== undefined) {
    if (flags.follow === true || flags.json === true || flags.lines !== undefined) {
      throw new AppError("VALIDATION", "--lines, --follow and --json are for events, not for the output of a command", {
        hint: "agentkernel exec NAME -- CMD shows output as it comes",
      });
    }
    using client = await connect(cli);
    const { stdout = "", stderr = "" } = await client.detachedLogs(name, exec);
    cli.output.raw(stdout, stderr);
    return 0;
  }
  let isEmpty = true;
  for await (const event of readEvents(cli, { last: countOf(flags.lines ?? "50"), sandbox: name }, flags.follow === true)) {
    isEmpty = false;
    cli.output.out(flags.json === true ? jsonText(event) : eventLine(event));
  }
  if (isEmpty && flags.json !== true) cli.output.note(`no events of a sandbox ${name}`);
  return 0;
}
