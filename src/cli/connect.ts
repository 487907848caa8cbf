import { type FileHandle, open, rename, stat } from "node:fs/promises";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import { AppError, errnoOf, isDiskFull, isErrorCode } from "../base/error.ts";
import { startProcess } from "../base/process.ts";
import { type Client, createClient } from "../client/client.ts";
import { type CliConfig, loadCliConfig } from "./cli-config.ts";
import type { Cli } from "./cli.ts";

/** ms that a server in the background gets to answer */
const START_DEADLINE_MS = 15_000;

/** ms between tries to start one, while another holds the lock and does not answer */
const RESTART_MS = 1_000;
const MAX_LOG_BYTES = 1024 ** 2;
/** of what a server said that did not start; its fault stands at the end of a few lines */
const MAX_SAID_BYTES = 64 * 1024;

/** A client of this user's server; starts one in the background where none runs. */
export async function connect(cli: Cli): Promise<Client> {
  const config = await loadCliConfig(cli);
  const client = createClient({ socketPath: config.paths.socket });
  if (await isServing(client)) {
    if (cli.configFile !== undefined) await refuseOtherConfig(client, cli.configFile);
    return client;
  }
  await startInBackground(cli, config, client);
  return client;
}

/** What was named with `--config` would be read and do nothing. @throws CONFLICT */
async function refuseOtherConfig(client: Client, file: string): Promise<void> {
  const { config_file: its } = await client.status();
  if (its === file) return;
  throw new AppError(
    "CONFLICT",
    `the server that runs has ${its === null ? "no configuration file" : `the configuration ${its}`}, not ${file}`,
    {
      hint: "leave out --config, or end that server: agentkernel serve --stop",
    },
  );
}

async function isServing(client: Client): Promise<boolean> {
  return client.health().then(
    () => true,
    () => false,
  );
}

async function startInBackground(cli: Cli, config: CliConfig, client: Client): Promise<void> {
  const logFile = config.paths.serveLog;
  await using log = await openServerLog(logFile);
  const { size: logStart } = await log.stat();
  const main = fileURLToPath(new URL(`./main${extname(import.meta.url)}`, import.meta.url));
  const start = () => {
    const child = startProcess({
      argv: [
        process.execPath,
        ...heapLimits(process.execArgv),
        main,
        ...(cli.configFile === undefined ? [] : ["--config", cli.configFile]),
        "serve",
        "--background",
      ],
      env: Object.fromEntries(config.env.names().map((name) => [name, config.env.get(name) ?? ""])),
      cwd: "/",
      stdio: ["ignore", log.fd, log.fd],
    });
    child.unref();
    return child;
  };
  let child = start();
  let startedAt = Date.now();
  const deadline = Date.now() + START_DEADLINE_MS;
  while (Date.now() < deadline) {
    if (await isServing(client)) return;
    if (child.isGone) {
      // 0: another one holds the lock; it is just starting, or just ending, and then another has to follow
      const end = await child.ended;
      if (end.kind !== "exited" || end.code !== 0) throw await startFailure(log, logFile, logStart);
      if (Date.now() - startedAt > RESTART_MS) {
        child = start();
        startedAt = Date.now();
      }
    }
    await delay(20);
  }
  throw new AppError("SERVER_UNREACHABLE", `the server did not answer within ${START_DEADLINE_MS / 1000} s`, { hint: `see ${logFile}` });
}

/** The limits of V8's heap that the front in bin/ gives a server, which one in the background is to have as well; none without a front. */
function heapLimits(flags: readonly string[]): readonly string[] {
  const own = flags.filter((flag) => flag.startsWith("--max-semi-space-size="));
  return own.length === 0 ? [] : [...own, "--scavenger-max-new-space-capacity-mb=1"];
}

/** Kept short, and never cut: a server that is just starting may be writing into it. */
async function openServerLog(file: string): Promise<FileHandle> {
  try {
    const isLong = await stat(file).then(
      ({ size }) => size > MAX_LOG_BYTES,
      () => false,
    );
    // another command that starts one may have moved it first
    if (isLong) await rename(file, `${file}.old`).catch((error: unknown) => ignoreAbsence(error));
    return await open(file, "a+", 0o600);
  } catch (error) {
    throw unwritableLog(file, error);
  }
}

function ignoreAbsence(error: unknown): void {
  if (errnoOf(error) !== "ENOENT") throw error;
}

function unwritableLog(file: string, cause: unknown): AppError {
  return new AppError(isDiskFull(cause) ? "DISK_FULL" : "STATE_UNUSABLE", `the server's log ${file} cannot be written`, {
    cause,
    hint: isDiskFull(cause)
      ? "free space on its file system"
      : `make it a file that you can write, or move it away: mv ${file} ${file}.old`,
  });
}

/** What the server said when it ended, as its own fault where it named one; what stands before `from` is of earlier ones. */
async function startFailure(log: FileHandle, file: string, from: number): Promise<AppError> {
  const { buffer, bytesRead } = await log.read({ buffer: Buffer.alloc(MAX_SAID_BYTES), position: from });
  const lines = buffer.toString("utf8", 0, bytesRead).trim().split("\n");
  const at = lines.findLastIndex((line) => line.startsWith("error["));
  const [, code = "", message] = /^error\[([A-Z_]+)\]: (.*)$/.exec(lines[at] ?? "") ?? [];
  const hint = /^hint: (.*)$/.exec(lines[at + 1] ?? "")?.[1];
  if (message !== undefined && isErrorCode(code))
    return new AppError(code, `the server did not start: ${message}`, hint === undefined ? {} : { hint });
  // one that said nothing may not have been able to
  if (bytesRead === 0)
    await log.write("\n").catch((error: unknown) => {
      throw unwritableLog(file, error);
    });
  return new AppError("SERVER_UNREACHABLE", `the server did not start: ${lines.at(-1) || "it said nothing"}`, {
    hint: "agentkernel doctor",
  });
}
