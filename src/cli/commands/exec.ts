import { AppError } from "../../base/error.ts";
import { parseDuration } from "../../base/units.ts";
import { loadCliConfig } from "../cli-config.ts";
import { connect } from "../connect.ts";
import { environmentOf } from "../place-options.ts";
import { earlyEnd } from "../early-end.ts";
import type { Cli } from "../cli.ts";
import { isInteractive, streamExec, terminalSize } from "../stream-exec.ts";

type ExecFlags = {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly detach?: boolean;
  readonly env: readonly string[];
  readonly workdir?: string;
  readonly timeout?: string;
};

/** `agentkernel exec`: exits with the command's own code. */
export async function exec(cli: Cli, name: string, command: readonly string[], flags: ExecFlags): Promise<number> {
  const { env } = await loadCliConfig(cli);
  const request = {
    command: [...command],
    env: Object.entries(environmentOf(flags.env, env)).map(([key, value]) => `${key}=${value}`),
    ...(flags.workdir === undefined ? {} : { workdir: flags.workdir }),
    ...(flags.timeout === undefined ? {} : { timeout_ms: parseDuration(flags.timeout) }),
  };
  using client = await connect(cli);
  if (flags.detach === true) {
    if (flags.interactive === true || flags.tty === true)
      throw new AppError("VALIDATION", "-d leaves the command alone, so -i and -t do not fit it");
    const detached = await client.execDetached(name, request);
    cli.output.out(detached.id);
    return 0;
  }
  const tty = flags.tty === true && isInteractive();
  if (flags.tty === true && !tty) throw new AppError("VALIDATION", "-t needs a terminal on stdin and stdout", { hint: "leave out -t" });
  const running = await client.exec(name, { ...request, ...(tty ? { tty: terminalSize() } : {}) });
  if (flags.interactive !== true && !tty) {
    // a command that is over already is no fault
    running.stdin.on("error", () => undefined);
    running.stdin.end();
  }
  const code = await streamExec(running, flags.interactive === true || tty ? { tty } : { tty: false, stdin: false });
  const said = earlyEnd((await running.exited).reason, flags.timeout);
  if (said !== undefined) cli.output.note(said);
  return code;
}

/** `agentkernel attach NAME`: a shell with a terminal. */
export async function attach(cli: Cli, name: string): Promise<number> {
  if (!isInteractive())
    throw new AppError("VALIDATION", "attach needs a terminal on stdin and stdout", { hint: `agentkernel exec -i ${name} -- sh` });
  using client = await connect(cli);
  const shell = ["/bin/sh", "-c", "if [ -x /bin/bash ]; then exec /bin/bash; else exec /bin/sh; fi"];
  return await streamExec(await client.exec(name, { command: shell, tty: terminalSize() }), { tty: true });
}
