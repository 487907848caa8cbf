import type { Command } from "commander";
import { collect } from "./collect.ts";
import type { Lazily } from "./lazily.ts";

/** Who is told of what leaves sandboxes, or asked. */
export function declareHooks(program: Command, lazily: Lazily): void {
  const hooks = program.command("hooks").description("who is told of what leaves sandboxes, or asked");
  hooks
    .command("add")
    .description("register a hook for every sandbox, or replace one of the same name")
    .argument("<name>")
    .requiredOption("--event <event>", "on_request, on_response, on_deny, on_llm or on_budget")
    .option("--url <url>", "target: a webhook")
    .option("--file <path>", "target: JSON lines in this file")
    .option("--audit", "target: the audit log")
    .option("--filter <k=v>", "only what fits: sandbox, label, host, provider, model, decision, status", collect, [])
    .option("--signed", "sign as Standard Webhooks; the secret (whsec_…) is read from stdin")
    .option("--decide", "the webhook decides whether a request may leave")
    .option("--timeout-ms <n>", "how long a decision may take")
    .option("--cache-ttl <seconds>", "how long a decision holds for the same request")
    .option("--batch <n>", "events at once, as an array")
    .option("--include-body [size]", "with the beginning of the bodies, 16KiB or so much, secrets masked")
    .action(lazily(async () => (await import("../commands/hooks.ts")).add));
  hooks
    .command("ls")
    .description("hooks of the file and of the API, with their deliveries")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/hooks.ts")).list));
  hooks
    .command("rm")
    .description("remove hooks that were registered here or over the API")
    .argument("<name...>")
    .action(lazily(async () => (await import("../commands/hooks.ts")).remove));
  hooks
    .command("test")
    .description("send a sample and print what the target answers")
    .argument("<name>")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/hooks.ts")).test));
  hooks
    .command("dead")
    .description("events that the target will never take as they are, with the reason")
    .argument("<name>")
    .option("-n, --lines <n>", "how many", "100")
    .option("--purge", "and remove them all")
    .option("--json", "print them as JSON lines")
    .action(lazily(async () => (await import("../commands/hooks.ts")).dead));
  hooks
    .command("replay")
    .description("send events again; without --since and --dead a paused or failing hook is tried at once")
    .argument("<name>")
    .option("--since <time>", "everything since this time, or of the last so long")
    .option("--dead", "the dead letters")
    .action(lazily(async () => (await import("../commands/hooks.ts")).replay));
}
