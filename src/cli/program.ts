import { Command, CommanderError, Option } from "commander";
import { AppError, errnoOf, firstFault } from "../base/error.ts";
import { VERSION } from "../base/version.ts";
import type { Cli } from "./cli.ts";
import { createOutput } from "./output.ts";
import { addPlaceOptions } from "./place-options.ts";

/** Runs one command line and gives the exit code; prints failures itself. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const output = createOutput({ color: process.stderr.isTTY === true });
  const { config, rest } = takeConfigFlag(argv);
  let exitCode = 0;
  const program = createProgram({ output, configFile: config }, (code) => (exitCode = code));
  try {
    await program.parseAsync([...rest], { from: "user" });
  } catch (thrown) {
    const error = firstFault(thrown);
    if (error instanceof CommanderError) exitCode = error.exitCode === 0 ? 0 : 125;
    else {
      output.fail(error);
      exitCode = error instanceof AppError ? error.exit : 125;
    }
  }
  const broken = await output.flush();
  if (broken === undefined || exitCode !== 0) return exitCode;
  output.fail(new AppError(errnoOf(broken) === "ENOSPC" ? "DISK_FULL" : "INTERNAL", "the output cannot be written", { cause: broken }));
  return 125;
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
  return { config, rest: [...argv.slice(0, at), ...argv.slice(at + (inline ? 1 : 2))] };
}

type Action = (cli: Cli, ...args: never[]) => Promise<number>;

/** Every command; `setExit` is given the exit code of the one that ran. */
export function createProgram(cli: Cli, setExit: (code: number) => void): Command {
  /** Loads a command's module only when it is called, so that `--help` and `run` stay quick. */
  const lazily =
    (load: () => Promise<Action>) =>
    async (...args: unknown[]): Promise<void> => {
      const action = (await load()) as (cli: Cli, ...rest: unknown[]) => Promise<number>;
      // commander appends itself to what the command declared, and leaves `--` in place where options were passed through
      const given = args.slice(0, -1).map((arg) => (Array.isArray(arg) && arg[0] === "--" ? arg.slice(1) : arg));
      setExit(await action(cli, ...given));
    };
  const program = new Command("agentkernel")
    .description("Runs AI coding agents in isolated sandboxes and owns everything that leaves them.")
    .version(VERSION, "-V, --version")
    .option("--config <file>", "configuration to use instead of the installed one")
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .showSuggestionAfterError()
    .showHelpAfterError("hint: the same with --help says how it is used");

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

  addPlaceOptions(program.command("create").description("create and start a sandbox"))
    .argument("<name>")
    .option("--ttl <duration>", "end and remove it after so long, as 2h")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/sandboxes.ts")).create));
  program
    .command("start")
    .description("start a stopped sandbox")
    .argument("<name>")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/sandboxes.ts")).start));
  program
    .command("stop")
    .description("stop a sandbox; its home and workspace stay")
    .argument("<name>")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/sandboxes.ts")).stop));
  program
    .command("rm")
    .description("remove sandboxes")
    .argument("<name...>")
    .action(lazily(async () => (await import("./commands/sandboxes.ts")).remove));
  program
    .command("ls")
    .description("list sandboxes")
    .option("--label <k=v>", "only those with this label")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/sandboxes.ts")).list));
  program
    .command("info")
    .description("show one sandbox: its state, limits and how each is held")
    .argument("<name>")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/sandboxes.ts")).info));
  program
    .command("exec")
    .description("run a command in a running sandbox")
    .argument("<name>")
    .argument("<command...>", "the command and its arguments, after --")
    .option("-i, --interactive", "pass stdin on")
    .option("-t, --tty", "a terminal inside")
    .option("-d, --detach", "leave it running and print its id")
    .option("-e, --env <K=V>", "environment variable", (value: string, before: readonly string[]) => [...before, value], [])
    .option("-w, --workdir <dir>", "working directory inside")
    .option("--timeout <duration>", "end it after so long, as 90s")
    .option("--no-tty", "no terminal inside")
    .passThroughOptions()
    .action(lazily(async () => (await import("./commands/exec.ts")).exec));
  program
    .command("attach")
    .description("open a shell in a running sandbox")
    .argument("<name>")
    .action(lazily(async () => (await import("./commands/exec.ts")).attach));
  program
    .command("logs")
    .description("show what was recorded about a sandbox, or the output of a detached command")
    .argument("<name>")
    .argument("[exec]", "id of a detached command")
    .option("-n, --lines <n>", "newest events", "50")
    .option("--json", "print events as JSON lines")
    .action(lazily(async () => (await import("./commands/logs.ts")).logs));

  program
    .command("serve")
    .description("serve the HTTP API")
    .option("--host <address>", "address to listen on")
    .option("--port <port>", "port to listen on; 0 picks a free one")
    .option("--api-key-file <file>", "file that holds the API key")
    .option("--stop", "end the server that runs for this user")
    .addOption(new Option("--background").hideHelp())
    .action(lazily(async () => (await import("./commands/serve.ts")).serve));

  const llm = program.command("llm").description("model calls: usage, providers, prices, budgets and keys");
  llm
    .command("usage")
    .description("tokens and cost per sandbox, provider and model")
    .option("--sandbox <name>", "only this sandbox")
    .option("--since <duration>", "only the last so long, as 7d")
    .option("--by <key>", "model, provider, sandbox, day or label")
    .option("--all", "earlier sandboxes of the same name too")
    .option("--json", "print the result as JSON")
    .option("--csv", "print the result as CSV")
    .option("--watch", "show it again whenever it has changed")
    .action(lazily(async () => (await import("./commands/llm.ts")).usage));

  llm
    .command("providers")
    .description("model APIs that are recognised, and where")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/llm-catalog.ts")).providers));
  llm
    .command("prices")
    .description("what models cost, in US dollars for a million tokens")
    .argument("[model]", "a model, looked up as a call of it would be, or a pattern such as 'claude-*'")
    .option("--provider <provider>", "only at this provider")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/llm-catalog.ts")).prices));

  const budget = llm.command("budget").description("limits on money, tokens and calls");
  budget
    .command("set")
    .description("set a budget; it holds from the next call on")
    .argument("<name>")
    .requiredOption("--limit <n>", "dollars, tokens or calls")
    .requiredOption("--unit <unit>", "usd, tokens, requests or concurrent")
    .option("--scope <scope>", "global, sandbox:NAME, label:K=V, provider:P or model:GLOB", "global")
    .option("--window <window>", "5h (sliding), day, week, month (UTC) or total", "total")
    .option("--on-exceed <effect>", "deny or warn", "deny")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/budget.ts")).set));
  budget
    .command("ls")
    .description("budgets, and what is left of them")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/budget.ts")).list));
  budget
    .command("rm")
    .description("remove budgets that `llm budget set` made")
    .argument("<name...>")
    .action(lazily(async () => (await import("./commands/budget.ts")).remove));

  const keys = llm.command("keys").description("keys of the organisation, put into the requests of every sandbox");
  keys
    .command("set")
    .description("put a secret into requests to a provider or host, from now on")
    .argument("<target>", "as openai, or api.openai.com")
    .argument("<secret>", "name of a secret that `secret set` keeps")
    .action(lazily(async () => (await import("./commands/llm-keys.ts")).set));
  keys
    .command("ls")
    .description("for whom, and under which name; never values")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/llm-keys.ts")).list));
  keys
    .command("rm")
    .description("put no key of the organisation into these requests any more")
    .argument("<target...>")
    .action(lazily(async () => (await import("./commands/llm-keys.ts")).remove));

  const secret = program.command("secret").description("keys that never enter a sandbox");
  secret
    .command("set")
    .description("keep a secret; its value is read from stdin or asked for")
    .argument("<name>")
    .action(lazily(async () => (await import("./commands/secret.ts")).set));
  secret
    .command("ls")
    .description("names and dates, never values")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/secret.ts")).list));
  secret
    .command("rm")
    .description("forget a secret")
    .argument("<name>")
    .action(lazily(async () => (await import("./commands/secret.ts")).remove));

  const audit = program.command("audit").description("what happened, in a log that shows tampering");
  audit
    .command("tail")
    .description("the newest events")
    .option("-n, --lines <n>", "how many", "20")
    .option("--sandbox <name>", "only this sandbox")
    .option("--since <duration>", "only the last so long, as 1h")
    .option("--type <types>", "only these kinds, as security.finding,admin.change")
    .option("-f, --follow", "and everything that follows, of all processes, until it is interrupted")
    .option("--json", "print events as JSON lines")
    .action(lazily(async () => (await import("./commands/audit.ts")).tail));
  audit
    .command("verify")
    .description("check the chain: 0 intact, 1 tampered, 2 truncated, 3 torn by a crash, 4 unreadable")
    .option("--from <position>", "begin at the segment that holds this number, as 1000 or chain:1000")
    .option("--key <file>", "public keys in PEM whose signatures count, instead of this installation's")
    .option("--anchors <file>", "lines of `audit head` or checkpoints that were kept elsewhere")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/audit.ts")).verify));
  audit
    .command("head")
    .description("last event of each chain, newest first, as chain:number:hash; kept elsewhere, they are anchors")
    .option("-n, --lines <n>", "how many chains", "100")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/audit.ts")).head));
  audit
    .command("export")
    .description("all events as JSON lines on stdout, chain by chain")
    .option("--since <time>", "only since this time, or the last so long, as 7d")
    .action(lazily(async () => (await import("./commands/audit.ts")).exportEvents));
  audit
    .command("replay")
    .description("send events to a stream again; without --since and --dead a paused or failing stream is tried at once")
    .requiredOption("--sink <name>", "name of the stream, as /status shows it")
    .option("--since <time>", "everything since this time, or of the last so long")
    .option("--dead", "the dead letters")
    .action(lazily(async () => (await import("./commands/audit.ts")).replay));
  audit
    .command("dead")
    .description("events that a stream will never take as they are, with the reason")
    .requiredOption("--sink <name>", "name of the stream")
    .option("-n, --lines <n>", "how many", "100")
    .option("--purge", "and remove them all")
    .option("--json", "print them as JSON lines")
    .action(lazily(async () => (await import("./commands/audit.ts")).dead));

  const hooks = program.command("hooks").description("who is told of what leaves sandboxes, or asked");
  hooks
    .command("add")
    .description("register a hook for every sandbox, or replace one of the same name")
    .argument("<name>")
    .requiredOption("--event <event>", "on_request, on_response, on_deny, on_llm or on_budget")
    .option("--url <url>", "target: a webhook")
    .option("--file <path>", "target: JSON lines in this file")
    .option("--audit", "target: the audit log")
    .option(
      "--filter <k=v>",
      "only what fits: sandbox, label, host, provider, model, decision, status",
      (value: string, before: readonly string[]) => [...before, value],
      [],
    )
    .option("--signed", "sign as Standard Webhooks; the secret (whsec_…) is read from stdin")
    .option("--decide", "the webhook decides whether a request may leave")
    .option("--timeout-ms <n>", "how long a decision may take")
    .option("--cache-ttl <seconds>", "how long a decision holds for the same request")
    .option("--batch <n>", "events at once, as an array")
    .option("--include-body [size]", "with the beginning of the bodies, 16KiB or so much, secrets masked")
    .action(lazily(async () => (await import("./commands/hooks.ts")).add));
  hooks
    .command("ls")
    .description("hooks of the file and of the API, with their deliveries")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/hooks.ts")).list));
  hooks
    .command("rm")
    .description("remove hooks that were registered here or over the API")
    .argument("<name...>")
    .action(lazily(async () => (await import("./commands/hooks.ts")).remove));
  hooks
    .command("test")
    .description("send a sample and print what the target answers")
    .argument("<name>")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/hooks.ts")).test));
  hooks
    .command("dead")
    .description("events that the target will never take as they are, with the reason")
    .argument("<name>")
    .option("--purge", "and remove them all")
    .option("--json", "print them as JSON lines")
    .action(lazily(async () => (await import("./commands/hooks.ts")).dead));
  hooks
    .command("replay")
    .description("send events again; without --since and --dead a paused or failing hook is tried at once")
    .argument("<name>")
    .option("--since <time>", "everything since this time, or of the last so long")
    .option("--dead", "the dead letters")
    .action(lazily(async () => (await import("./commands/hooks.ts")).replay));

  const policy = program.command("policy").description("what may leave");
  policy
    .command("check")
    .description("what would happen to a request for this URL")
    .argument("<url>")
    .option("--profile <name>", "for a sandbox of this profile")
    .option("--sandbox <name>", "for this sandbox")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/policy.ts")).check));
  for (const effect of ["allow", "deny"] as const) {
    policy
      .command(effect)
      .description(`${effect} a host from now on, in sandboxes that run too`)
      .argument("<host>", "as api.example.com, *.example.com or host:port")
      .option("--sandbox <name>", "only for this sandbox")
      .option("--wait", "until every running sandbox is under the new policy")
      .option("--json", "print the result as JSON")
      .action(lazily(async () => (await import("./commands/policy.ts"))[effect]));
  }
  policy
    .command("ls")
    .description("rules of the file and of `policy allow` and `policy deny`")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/policy.ts")).list));
  policy
    .command("rm")
    .description("remove rules that `policy allow` and `policy deny` made")
    .argument("<id...>", "as `policy ls` shows it")
    .option("--wait", "until every running sandbox is under the new policy")
    .action(lazily(async () => (await import("./commands/policy.ts")).remove));
  policy
    .command("log")
    .description("what was allowed and denied, with the command that would allow it")
    .option("-f, --follow", "go on showing what happens")
    .option("-n, --lines <n>", "newest decisions", "20")
    .option("--sandbox <name>", "only this sandbox")
    .option("--denied", "only what was denied")
    .option("--json", "print events as JSON lines")
    .action(lazily(async () => (await import("./commands/policy-log.ts")).log));

  const config = program.command("config").description("configuration");
  config
    .command("check")
    .description("is it valid?")
    .action(lazily(async () => (await import("./commands/config.ts")).check));
  config
    .command("explain")
    .description("a value, where it comes from and what it overrode")
    .argument("<key>")
    .action(lazily(async () => (await import("./commands/config.ts")).explain));

  program
    .command("doctor")
    .description("can it run here, and what is missing?")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("./commands/doctor.ts")).doctor));
  return program;
}
