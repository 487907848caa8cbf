import { AppError } from "../../base/error.ts";
import { parseSince } from "../../base/duration.ts";
import type { AuditReport } from "../../schema/delivery.ts";
import type { EventType } from "../../schema/event.ts";
import { NATIVE_OCSF_VERSION, OCSF_VERSIONS } from "../../schema/ocsf-version.ts";
import { loadCliConfig } from "../cli-config.ts";
import { connect } from "../connect.ts";
import { MAX_DEAD_LETTERS, showDeadLetters } from "../dead-letters.ts";
import { eventLine } from "../event-line.ts";
import { oneOf } from "../flag-values.ts";
import { jsonText, printable } from "../output.ts";
import { countOf, readEvents } from "../read-events.ts";
import type { Cli } from "../cli.ts";

type TailFlags = {
  readonly lines: string;
  readonly sandbox?: string;
  readonly since?: string;
  readonly type?: string;
  readonly follow?: boolean;
  readonly json?: boolean;
};

/** `agentkernel audit tail` */
export async function tail(cli: Cli, flags: TailFlags): Promise<number> {
  const query = {
    last: countOf(flags.lines),
    ...(flags.sandbox === undefined ? {} : { sandbox: flags.sandbox }),
    ...(flags.since === undefined ? {} : { sinceMs: parseSince(flags.since, Date.now()) }),
    ...(flags.type === undefined ? {} : { types: await typesOf(flags.type) }),
  };
  let isEmpty = true;
  for await (const event of readEvents(cli, query, flags.follow === true)) {
    isEmpty = false;
    cli.output.out(flags.json === true ? jsonText(event) : eventLine(event));
  }
  if (isEmpty && flags.json !== true) cli.output.note("no events");
  return 0;
}

/** @throws VALIDATION naming the kinds that there are */
async function typesOf(text: string): Promise<readonly EventType[]> {
  const { event } = await import("../../schema/event.ts");
  const known = event.options.map((option) => option.shape.type.value);
  return text.split(",").map((name) => {
    const found = known.find((type) => type === name.trim());
    if (found === undefined)
      throw new AppError("VALIDATION", `--type ${JSON.stringify(name.trim().slice(0, 80))} is no kind of event`, {
        hint: `there are: ${known.join(", ")}`,
      });
    return found;
  });
}

type VerifyFlags = { readonly from?: string; readonly key?: string; readonly anchors?: string; readonly json?: boolean };

/** `agentkernel audit verify`: the exit code is the verdict. */
export async function verify(cli: Cli, flags: VerifyFlags): Promise<number> {
  const { config, paths } = await loadCliConfig(cli);
  const { checkpointKeyFile, readNamed, verifyAudit } = await import("../../app/audit/audit.ts");
  const report = await verifyAudit(paths, checkpointKeyFile(config, paths), {
    ...(flags.from === undefined ? {} : { from: flags.from }),
    ...(flags.key === undefined ? {} : { key: await readNamed("--key", flags.key) }),
    ...(flags.anchors === undefined
      ? {}
      : { anchors: (await readNamed("--anchors", flags.anchors)).split("\n").filter((line) => line.trim() !== "") }),
  });
  if (flags.json === true) cli.output.json(report);
  else {
    cli.output.out(`${report.verdict}: ${amount(report.events, "event")} in ${amount(report.chains.length, "chain")}, ${report.anchor}`);
    if (report.detail !== undefined) cli.output.out(`  ${printable(report.detail)}`);
    for (const line of faultLines(report.chains)) cli.output.out(line);
    if (report.exit === 1 || report.exit === 2)
      cli.output.note(`hint: keep a copy of ${paths.events} before anything else: cp -a; docs/guides/audit-log.md says what to do`);
  }
  return report.exit;
}

/** One line for each fault: a key that is not trusted is the same one for every chain. */
function faultLines(chains: AuditReport["chains"]): readonly string[] {
  const byFault = Map.groupBy(
    chains.filter(({ verdict }) => verdict !== "intact"),
    ({ verdict, detail }) => `${verdict}: ${printable(detail ?? "")}`,
  );
  return [...byFault].map(([fault, [first, ...more]]) => {
    const others = more.length === 0 ? "" : ` and ${amount(more.length, "more chain")}`;
    return `  ${first?.chain ?? ""}${others}: ${fault}`;
  });
}

/** `agentkernel audit head`: lines that are anchors, when they are kept elsewhere. */
export async function head(cli: Cli, flags: { readonly lines: string; readonly json?: boolean }): Promise<number> {
  const { paths } = await loadCliConfig(cli);
  const { auditHeads } = await import("../../app/audit/audit.ts");
  const heads = await auditHeads(paths, countOf(flags.lines));
  if (flags.json === true) cli.output.json(heads);
  else for (const { chain, seq, hash } of heads) cli.output.out(`${chain}:${seq}:${hash}`);
  return 0;
}

type ExportFlags = { readonly since?: string; readonly format: string; readonly ocsfVersion?: string };

/** `agentkernel audit export`: JSON lines on stdout; that it was done is recorded first. */
export async function exportEvents(cli: Cli, flags: ExportFlags): Promise<number> {
  const sinceMs = flags.since === undefined ? 0 : parseSince(flags.since, Date.now());
  const kind = oneOf("--format", flags.format, ["event", "native", "ocsf"]);
  if (kind !== "ocsf" && flags.ocsfVersion !== undefined)
    throw new AppError("VALIDATION", "--ocsf-version is for --format ocsf", {
      hint: "agentkernel audit export --format ocsf --ocsf-version 1.6.0",
    });
  const format = kind === "ocsf" ? oneOf("--ocsf-version", flags.ocsfVersion ?? NATIVE_OCSF_VERSION, OCSF_VERSIONS) : kind;
  const config = await loadCliConfig(cli);
  const [{ exportRecorded }, { systemUser }] = await Promise.all([import("../../app/audit/audit.ts"), import("../../app/caller.ts")]);
  for await (const event of await exportRecorded(config, systemUser(), { sinceMs, format })) {
    await cli.output.stream(`${JSON.stringify(event)}\n`).catch(() => "why it was not taken is said when the command ends");
    if (cli.output.unread.aborted) break;
  }
  return 0;
}

type ReplayFlags = { readonly sink: string; readonly since?: string; readonly dead?: boolean };

/** `agentkernel audit replay`: asks whichever process delivers. */
export async function replay(cli: Cli, { sink, since, dead }: ReplayFlags): Promise<number> {
  using client = await connect(cli);
  const time = since === undefined ? undefined : new Date(parseSince(since, Date.now())).toISOString();
  cli.output.note(await client.auditReplay({ sink, ...(time === undefined ? {} : { since: time }), ...(dead === true ? { dead } : {}) }));
  return 0;
}

type DeadFlags = { readonly sink: string; readonly lines: string; readonly purge?: boolean; readonly json?: boolean };

/** `agentkernel audit dead`: what a stream will never take as it is. */
export async function dead(cli: Cli, flags: DeadFlags): Promise<number> {
  using client = await connect(cli);
  const letters = await client.auditDead({ sink: flags.sink, last: countOf(flags.lines, MAX_DEAD_LETTERS) });
  showDeadLetters(cli, letters, flags.json === true);
  if (flags.purge === true && letters.length > 0) cli.output.note(await client.auditReplay({ sink: flags.sink, purge: true }));
  return 0;
}

function amount(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
