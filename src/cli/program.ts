import { resolve } from "node:path";
import { Command, CommanderError, Help, Option } from "commander";
import { hostEnvironment, isColorWanted } from "../config/env.ts";
import { AppError, errnoOf, firstFault } from "../base/error.ts";
import { VERSION } from "../base/version.ts";
import type { Cli } from "./cli.ts";
import { EXAMPLES } from "./declare/examples.ts";
import { declareAudit } from "./declare/audit.ts";
import { declareHooks } from "./declare/hooks.ts";
import { lazilyFor } from "./declare/lazily.ts";
import { declareLlm } from "./declare/llm.ts";
import { declarePolicy } from "./declare/policy.ts";
import { declareSandboxes } from "./declare/sandboxes.ts";
import { createOutput } from "./output.ts";
import { addPlaceOptions } from "./place-options.ts";

/** Runs one command line and gives the exit code; prints failures itself. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const output = createOutput({ color: process.stderr.isTTY === true && isColorWanted(hostEnvironment) });
  const { config, rest } = takeConfigFlag(argv);
  let exitCode = 0;
  const program = createProgram({ output, configFile: config }, (code) => (exitCode = code));
  try {
    await program.parseAsync([...rest], { from: "user" });
  } catch (thrown) {
    const error = firstFault(thrown);
    if (error instanceof CommanderError) exitCode = error.exitCode === 0 ? 0 : 125;
    else {
      output.fail(inOwnWords(error));
      exitCode = error instanceof AppError ? error.exit : 125;
    }
  }
  const broken = await output.flush();
  if (broken === undefined || exitCode !== 0) return exitCode;
  output.fail(new AppError(errnoOf(broken) === "ENOSPC" ? "DISK_FULL" : "INTERNAL", "the output cannot be written", { cause: broken }));
  return 125;
}

/** The API names what is wrong as `body.name`; whoever typed a command line has seen no body. */
function inOwnWords(error: unknown): unknown {
  if (!(error instanceof AppError) || error.code !== "VALIDATION") return error;
  const message = error.message.replaceAll(/(^|; )(?:body|query|path)\.(?=[a-z])/g, "$1");
  return message === error.message
    ? error
    : new AppError(error.code, message, { cause: error.cause, ...(error.hint === undefined ? {} : { hint: error.hint }) });
}

/** `--config FILE` is accepted anywhere before `--`. */
function takeConfigFlag(argv: readonly string[]): { readonly config: string | undefined; readonly rest: readonly string[] } {
  const end = argv.indexOf("--");
  const ours = end < 0 ? argv : argv.slice(0, end);
  const at = ours.findIndex((arg) => arg === "--config" || arg.startsWith("--config="));
  if (at < 0) return { config: undefined, rest: argv };
  const arg = ours[at] ?? "";
  const inline = arg.includes("=");
  const config = inline ? arg.slice(arg.indexOf("=") + 1) : argv[at + 1];
  if (config === undefined || config === "" || config === "--") return { config: "", rest: argv };
  // absolute: a server that is started in the background has another working directory
  return { config: resolve(config), rest: [...argv.slice(0, at), ...argv.slice(at + (inline ? 1 : 2))] };
}

/** Every command; `setExit` is given the exit code of the one that ran. */
export function createProgram(cli: Cli, setExit: (code: number) => void): Command {
  const lazily = lazilyFor(cli, setExit);
  const program = new Command("agentkernel")
    .description("Runs AI coding agents in isolated sandboxes and owns everything that leaves them.")
    .version(VERSION, "-V, --version")
    .option("--config <file>", "configuration to use instead of the installed one")
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ optionDescription: (option) => new Help().optionDescription(option).replace(" (default: [])", "") })
    .showSuggestionAfterError();

  addPlaceOptions(program.command("run").description("run one command in a fresh sandbox"))
    .argument("<command...>", "the command and its arguments, after --")
    .option("--timeout <duration>", "end it after so long, as 90s")
    .option("--workdir <dir>", "working directory inside")
    .option("--keep", "keep the sandbox afterwards, stopped")
    .option("--no-tty", "no terminal inside, even when there is one here")
    .option("--json", "print the result as JSON when it has ended")
    .passThroughOptions()
    .action(lazily(async () => (await import("./commands/run.ts")).run));

  program
    .command("demo")
    .description("the main job end to end: an agent in a sandbox, every model call metered")
    .action(lazily(async () => (await import("./commands/demo.ts")).demo));

  declareSandboxes(program, lazily);

  program
    .command("serve")
    .description("serve the HTTP API")
    .option("--host <address>", "address to listen on")
    .option("--port <port>", "port to listen on; 0 picks a free one")
    .option("--api-key-file <file>", "file that holds the API key")
    .option("--stop", "end the server that runs for this user")
    .addOption(new Option("--background").hideHelp())
    .action(lazily(async () => (await import("./commands/serve.ts")).serve));

  declareLlm(program, lazily);

  const secret = program.command("secret").description("keys that never enter a sandbox");
  secret
    .command("set")
    .description("keep a secret, or replace its value, in running sandboxes too; the value is read from stdin or asked for")
    .argument("<name>", "as OPENAI_API_KEY: the variable that holds its placeholder inside")
    .action(lazily(async () => (await import("./commands/secret.ts")).set));
  secret
    .command("ls")
    .description("names and dates, never values")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/secret.ts")).list));
  secret
    .command("rm")
    .description("forget secrets")
    .argument("<name...>")
    .action(lazily(async () => (await import("./commands/secret.ts")).remove));

  declareAudit(program, lazily);
  declareHooks(program, lazily);
  declarePolicy(program, lazily);

  const config = program.command("config").description("configuration");
  config
    .command("check")
    .description("is the configuration valid? looks at the files and secrets that it names too, and sends nothing")
    .action(lazily(async () => (await import("./commands/config.ts")).check));
  config
    .command("explain")
    .description("values of the configuration, where they come from and what they overrode")
    .argument("[key]", "a key such as server.port, or a table such as egress; none: everything")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/config.ts")).explain));

  program
    .command("doctor")
    .description("can it run here, and what is missing?")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/doctor.ts")).doctor));
  finishCommands(program, program.name(), cli);
  return program;
}

/** What all commands have in common: faults in the form of every other one, and examples under `--help`. */
function finishCommands(command: Command, path: string, cli: Cli): void {
  command.configureOutput({ outputError: (text) => cli.output.fail(usageFault(text, path)) });
  const examples = EXAMPLES[path.slice(path.indexOf(" ") + 1)];
  if (examples !== undefined) command.addHelpText("after", `\nExamples:\n${examples.map((line) => `  ${line}\n`).join("")}`);
  for (const below of command.commands) finishCommands(below, `${path} ${below.name()}`, cli);
}

/** `error: unknown command 'polcy'\n(Did you mean policy?)` */
function usageFault(text: string, path: string): AppError {
  const [message = "", ...more] = text.trim().split("\n");
  return new AppError("VALIDATION", [message.replace(/^error: /, ""), ...more].join(" "), { hint: `${path} --help says how it is used` });
}
