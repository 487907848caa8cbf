import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "../../base/error.ts";
import { livenessOf } from "../../base/process-identity.ts";
import { ignore } from "../../base/background.ts";
import { loadCliConfig } from "../cli-config.ts";
import type { Cli } from "../cli.ts";
import { portOf } from "../flag-values.ts";
import { Interrupts } from "../interrupts.ts";
import { createServing } from "../serving.ts";

type ServeFlags = {
  readonly host?: string;
  readonly port?: string;
  readonly apiKeyFile?: string;
  readonly stop?: boolean;
  readonly background?: boolean;
};

/** ms without a request and without a running sandbox after which a server that the CLI started ends */
const IDLE_MS = 10 * 60_000;

/** `agentkernel serve`: the API on a Unix socket and, in the foreground, on a TCP port. */
export async function serve(cli: Cli, flags: ServeFlags): Promise<number> {
  if (flags.stop === true && (flags.host ?? flags.port ?? flags.apiKeyFile) !== undefined)
    throw new AppError("VALIDATION", "--stop ends the server that runs, and begins none: give it alone");
  const config = await loadCliConfig(cli);
  const port = flags.port === undefined ? config.config.server.port : portOf("--port", flags.port, { min: 0 });
  if (flags.stop === true) return await stopServer(cli, config.paths.serveLock, config.paths.socket);
  const background = flags.background === true;
  // heard while it starts too, when a service manager may say it already: what was read before is read again once it serves
  let isChanged = false;
  let reload = (): void => {
    isChanged = true;
  };
  process.on("SIGHUP", () => reload());
  const { takeServeLock } = await import("../../app/serve-lock.ts");
  using lock = takeServeLock(config.paths.serveLock);
  if (lock === undefined) {
    // the CLI starts servers without asking who else does
    if (background) return 0;
    throw new AppError("STATE_LOCKED", "a server of this state directory runs already", { hint: "agentkernel serve --stop ends it" });
  }
  // the first wish ends everything in order; whoever asks again is obeyed at once, and every sandbox dies with this process
  using interrupts = new Interrupts((text) => cli.output.note(text), ["SIGINT", "SIGTERM"]);
  const stop = interrupts.signal;
  await using serving = await createServing(config, {
    socketPath: config.paths.socket,
    ...(background
      ? {}
      : {
          stdout: (text: string) => cli.output.stream(text),
          tcp: { host: flags.host ?? config.config.server.host, port },
        }),
    ...(flags.apiKeyFile === undefined ? {} : { apiKeyFile: flags.apiKeyFile }),
  });
  reload = () => ignore(serving.reload(), "a reload that fails keeps what there was, and is logged");
  if (isChanged) reload();
  if (serving.url !== undefined) cli.output.out(`listening on ${serving.url}`);
  while (!stop.aborted) {
    await delay(1_000, undefined, { signal: stop }).catch(() => undefined);
    if (background && serving.idleMs() > IDLE_MS) break;
  }
  const running = serving.runningSandboxes;
  if (running > 0 && !background) cli.output.note(`agentkernel: ending ${sandboxes(running)}; once more to stop at once`);
  return 0;
}

function sandboxes(count: number): string {
  return count === 1 ? "1 running sandbox" : `${count} running sandboxes`;
}

/** undefined: it does not say */
async function runningSandboxes(socketPath: string): Promise<number | undefined> {
  const { createClient } = await import("../../client/client.ts");
  using client = createClient({ socketPath });
  return await client.status().then(
    (status) => status.sandboxes.running,
    () => undefined,
  );
}

async function stopServer(cli: Cli, lockPath: string, socket: string): Promise<number> {
  const { serveLockHolder } = await import("../../app/serve-lock.ts");
  const holder = serveLockHolder(lockPath);
  if (holder === undefined) {
    cli.output.note("no server runs");
    return 0;
  }
  // in another pid namespace that number is no process, or somebody else's
  if (livenessOf(holder) !== "alive")
    throw new AppError("CONFLICT", "a server in another container, or outside of this one, holds this state directory", {
      hint: "end it where it was started",
    });
  const running = await runningSandboxes(socket);
  const what = running === undefined || running === 0 ? "" : `, and with it ${sandboxes(running)}; homes and workspaces are kept`;
  cli.output.note(`ending the server (pid ${holder.pid})${what}`);
  process.kill(holder.pid, "SIGTERM");
  const deadline = Date.now() + 20_000;
  while (livenessOf(holder) === "alive") {
    if (Date.now() > deadline)
      throw new AppError("TIMEOUT", `the server (pid ${holder.pid}) did not end within 20 s`, { hint: `kill -9 ${holder.pid}` });
    await delay(20);
  }
  cli.output.note("the server has ended");
  return 0;
}
