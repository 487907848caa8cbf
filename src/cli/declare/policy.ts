import type { Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** What may leave. */
export function declarePolicy(program: Command, lazily: Lazily): void {
  const policy = program.command("policy").description("what may leave");
  policy
    .command("check")
    .description("what would happen to a request for this URL")
    .argument("<url>")
    .option("--profile <name>", "for a sandbox of this profile")
    .option("--sandbox <name>", "for this sandbox")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/policy.ts")).check));
  for (const effect of ["allow", "deny"] as const) {
    policy
      .command(effect)
      .description(`${effect} a host from now on, in sandboxes that run too`)
      .argument("<host>", "as api.example.com, *.example.com or host:port")
      .option("--sandbox <name>", "only for this sandbox")
      .option("--wait", "until every running sandbox is under the new policy")
      .option("--json", "print the result as JSON")
      .action(lazily(async () => (await import("../commands/policy.ts"))[effect]));
  }
  policy
    .command("ls")
    .description("rules of the file and of `policy allow` and `policy deny`")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/policy.ts")).list));
  policy
    .command("rm")
    .description("remove rules that `policy allow` and `policy deny` made")
    .argument("<id...>", "as `policy ls` shows it")
    .option("--wait", "until every running sandbox is under the new policy")
    .action(lazily(async () => (await import("../commands/policy.ts")).remove));
  policy
    .command("log")
    .description("what was allowed and denied, with the command that would allow it")
    .option("-f, --follow", "and everything that follows, until it is interrupted")
    .option("-n, --lines <n>", "how many", "20")
    .option("--sandbox <name>", "only this sandbox")
    .option("--since <time>", "only since this time, or the last so long, as 1h")
    .option("--denied", "only what was denied, or would have been in observe mode")
    .option("--json", "print events as JSON lines")
    .action(lazily(async () => (await import("../commands/policy-log.ts")).log));
}
