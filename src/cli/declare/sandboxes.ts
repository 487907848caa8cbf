import type { Command } from "commander";
import { addPlaceOptions } from "../place-options.ts";
import { collect } from "./collect.ts";
import type { Lazily } from "./lazily.ts";

/** Sandboxes that stay, and commands in them. */
export function declareSandboxes(program: Command, lazily: Lazily): void {
  addPlaceOptions(program.command("create").description("create and start a sandbox"))
    .argument("<name>")
    .option("--ttl <duration>", "end and remove it after so long, as 2h")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/sandboxes.ts")).create));
  program
    .command("start")
    .description("start a stopped sandbox")
    .argument("<name>")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/sandboxes.ts")).start));
  program
    .command("stop")
    .description("stop a sandbox; its home and workspace stay")
    .argument("<name>")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/sandboxes.ts")).stop));
  program
    .command("rm")
    .description("remove sandboxes")
    .argument("<name...>")
    .action(lazily(async () => (await import("../commands/sandboxes.ts")).remove));
  program
    .command("ls")
    .description("list sandboxes")
    .option("--label <k=v>", "only those with this label")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/sandboxes.ts")).list));
  program
    .command("info")
    .description("show one sandbox: its state, limits and how each is held")
    .argument("<name>")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/sandboxes.ts")).info));
  program
    .command("exec")
    .description("run a command in a running sandbox")
    .argument("<name>")
    .argument("<command...>", "the command and its arguments, after --")
    .option("-i, --interactive", "pass stdin on")
    .option("-t, --tty", "a terminal inside")
    .option("-d, --detach", "leave it running and print its id")
    .option("-e, --env <K=V>", "environment variable", collect, [])
    .option("-w, --workdir <dir>", "working directory inside")
    .option("--timeout <duration>", "end it after so long, as 90s")
    .option("--no-tty", "no terminal inside")
    .passThroughOptions()
    .action(lazily(async () => (await import("../commands/exec.ts")).exec));
  program
    .command("attach")
    .description("open a shell in a running sandbox")
    .argument("<name>")
    .action(lazily(async () => (await import("../commands/exec.ts")).attach));
  program
    .command("logs")
    .description("show what was recorded about a sandbox, or the output of a detached command")
    .argument("<name>")
    .argument("[exec]", "id of a detached command")
    .option("-n, --lines <n>", 'how many events (default: "50")')
    .option("-f, --follow", "and the events that follow, until it is interrupted")
    .option("--json", "print events as JSON lines")
    .action(lazily(async () => (await import("../commands/logs.ts")).logs));
}
