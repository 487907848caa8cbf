import type { Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** The log of what happened. */
export function declareAudit(program: Command, lazily: Lazily): void {
  const audit = program.command("audit").description("what happened, in a log that shows tampering");
  audit
    .command("tail")
    .description("the newest events")
    .option("-n, --lines <n>", "how many", "20")
    .option("--sandbox <name>", "only this sandbox")
    .option("--since <time>", "only since this time, or the last so long, as 1h")
    .option("--type <types>", "only these kinds, as security.finding,admin.change")
    .option("-f, --follow", "and everything that follows, of all processes, until it is interrupted")
    .option("--json", "print events as JSON lines")
    .action(lazily(async () => (await import("../commands/audit.ts")).tail));
  audit
    .command("verify")
    .description("check the chain: 0 intact, 1 tampered, 2 truncated, 3 torn by a crash, 4 unreadable")
    .option("--from <position>", "begin at the segment that holds this number, as 1000 or chain:1000")
    .option("--key <file>", "public keys in PEM whose signatures count, instead of this installation's")
    .option("--anchors <file>", "lines of `audit head` or checkpoints that were kept elsewhere")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/audit.ts")).verify));
  audit
    .command("head")
    .description("last event of each chain, newest first, as chain:number:hash; kept elsewhere, they are anchors")
    .option("-n, --lines <n>", "how many chains", "100")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/audit.ts")).head));
  audit
    .command("export")
    .description("all events as JSON lines on stdout, chain by chain")
    .option("--since <time>", "only since this time, or the last so long, as 7d")
    .option("--format <format>", "event (as in the log), native (audit records) or ocsf", "event")
    .option("--ocsf-version <version>", "release of OCSF: 1.8.0, 1.6.0, 1.3.0 or 1.1.0 (default: 1.8.0)")
    .action(lazily(async () => (await import("../commands/audit.ts")).exportEvents));
  audit
    .command("replay")
    .description("send events to a stream again; without --since and --dead a paused or failing stream is tried at once")
    .requiredOption("--sink <name>", "name of the stream, as /status shows it")
    .option("--since <time>", "everything since this time, or of the last so long")
    .option("--dead", "the dead letters")
    .action(lazily(async () => (await import("../commands/audit.ts")).replay));
  audit
    .command("dead")
    .description("events that a stream will never take as they are, with the reason")
    .requiredOption("--sink <name>", "name of the stream")
    .option("-n, --lines <n>", "how many", "100")
    .option("--purge", "and remove them all")
    .option("--json", "print them as JSON lines")
    .action(lazily(async () => (await import("../commands/audit.ts")).dead));
}
