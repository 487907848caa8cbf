import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "../../base/error.ts";
import type { Client } from "../../client/client.ts";
import { type PolicyChange, type PolicyReport, type PolicyRule, profileName } from "../../schema/api.ts";
import { connect } from "../connect.ts";
import { oneOf } from "../flag-values.ts";
import { printable } from "../output.ts";
import { table } from "../table.ts";
import type { Cli } from "../cli.ts";

type CheckFlags = { readonly profile?: string; readonly sandbox?: string; readonly json?: boolean };

/** `agentkernel policy check URL`: exit 0 when it would be allowed, 1 when denied. */
export async function check(cli: Cli, url: string, flags: CheckFlags): Promise<number> {
  if (flags.profile !== undefined && flags.sandbox !== undefined) throw new AppError("VALIDATION", "give --profile or --sandbox, not both");
  using client = await connect(cli);
  const profile = flags.profile === undefined ? undefined : oneOf("--profile", flags.profile, profileName.options);
  const answer = await client.policyCheck({
    url,
    ...(profile === undefined ? {} : { profile }),
    ...(flags.sandbox === undefined ? {} : { sandbox: flags.sandbox }),
  });
  if (flags.json === true) cli.output.json(answer);
  else {
    cli.output.out(`${answer.verdict}  ${printable(url)}  rule ${answer.rule}: ${printable(answer.reason)}`);
    if (answer.hint !== undefined) cli.output.out(`hint: ${answer.hint}`);
  }
  return answer.verdict === "allow" ? 0 : 1;
}

type ChangeFlags = { readonly sandbox?: string; readonly wait?: boolean; readonly json?: boolean };
type Effect = "allow" | "deny";
type Rules = PolicyChange["rules"];

export const allow = (cli: Cli, target: string, flags: ChangeFlags): Promise<number> => add(cli, "allow", target, flags);
export const deny = (cli: Cli, target: string, flags: ChangeFlags): Promise<number> => add(cli, "deny", target, flags);

/** `agentkernel policy allow|deny HOST`: exit 1 when another rule still decides otherwise. */
async function add(cli: Cli, effect: Effect, target: string, flags: ChangeFlags): Promise<number> {
  const { host, port } = hostAndPort(target);
  const { sandbox } = flags;
  using client = await connect(cli);
  const wanted = { host, effect, ...(port === undefined ? {} : { ports: [port] }), ...(sandbox === undefined ? {} : { sandbox }) };
  const report = await change(client, (rules) => {
    const others = rules.filter((rule) => !speaksOf(rule, wanted));
    const isThere = rules.some((rule) => speaksOf(rule, wanted) && rule.effect === effect);
    return isThere && others.length === rules.length - 1 ? rules : [...others, wanted];
  });
  if (flags.wait === true) await waitFor(client, report.generation);
  const check = host.startsWith("*.") ? undefined : await verdictOf(client, host, port, sandbox);
  if (flags.json === true) cli.output.json({ ...report, ...(check === undefined ? {} : { check }) });
  else {
    const where = sandbox === undefined ? "every sandbox" : `sandbox ${sandbox}`;
    cli.output.out(`generation ${report.generation}: ${effect} ${printable(target)} for ${where}`);
    for (const note of restartNotes(report, port)) cli.output.note(note);
    if (check !== undefined && check.verdict !== effect)
      cli.output.note(
        `agentkernel: ${printable(target)} is still ${check.verdict === "allow" ? "allowed" : "denied"}: ${printable(check.reason)}`,
      );
  }
  return check === undefined || check.verdict === effect ? 0 : 1;
}

export async function list(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  using client = await connect(cli);
  const report = await client.policy();
  if (flags.json === true) {
    cli.output.json(report);
    return 0;
  }
  cli.output.out(`generation ${report.generation}, default ${report.default}, ${report.mode}${report.locked ? ", locked" : ""}`);
  if (report.rules.length === 0) cli.output.note("no rules");
  else
    cli.output.out(
      table(
        report.rules,
        [
          { title: "ID", value: (rule) => rule.id },
          { title: "EFFECT", value: (rule) => rule.effect },
          { title: "HOST", value: (rule) => rule.host, wraps: true },
          { title: "PORTS", value: (rule) => rule.ports?.join(",") ?? (rule.effect === "deny" ? "all" : "80,443") },
          { title: "SANDBOX", value: (rule) => rule.sandbox ?? "every" },
          { title: "FROM", value: (rule) => (rule.source === "file" ? (report.file ?? "file") : "api"), wraps: true },
        ],
        cli.output.width,
      ),
    );
  for (const note of restartNotes(report, undefined)) cli.output.note(note);
  return 0;
}

export async function remove(cli: Cli, ids: readonly string[], flags: { readonly wait?: boolean }): Promise<number> {
  using client = await connect(cli);
  const report = await change(client, (rules, before) => {
    for (const id of ids) {
      const rule = before.rules.find((one) => one.id === id);
      if (rule === undefined)
        throw new AppError("NOT_FOUND", `there is no rule ${id}`, { hint: "agentkernel policy ls shows those there are" });
      if (rule.source === "file")
        throw new AppError("CONFLICT", `${id} belongs to ${before.file ?? "the configuration"}`, { hint: "remove it there" });
    }
    return rules.filter(({ id }) => id === undefined || !ids.includes(id));
  });
  if (flags.wait === true) await waitFor(client, report.generation);
  cli.output.out(`generation ${report.generation}: without ${ids.join(", ")}`);
  return 0;
}

/** Reads, changes and writes the rules made over the API; again when somebody else was faster. */
async function change(client: Client, edit: (rules: Rules, before: PolicyReport) => Rules): Promise<PolicyReport> {
  for (let attempt = 1; ; attempt += 1) {
    const before = await client.policy();
    const rules = edit(
      before.rules.filter(({ source }) => source === "api"),
      before,
    );
    try {
      return await client.setPolicy({ rules, generation: before.generation });
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "CONFLICT" || attempt === 5) throw error;
    }
  }
}

/**
 * The same host, ports and sandbox: the newer rule replaces the older one, whatever either says. A denial of every port gives way to
 * whatever is opened of its host, which it would otherwise keep closed.
 */
function speaksOf(rule: Rules[number], wanted: Pick<PolicyRule, "host" | "ports" | "sandbox" | "effect">): boolean {
  const isPlain = rule.methods === undefined && rule.paths === undefined;
  const ports = (list: readonly number[] | undefined): string => [...(list ?? [80, 443])].sort((a, b) => a - b).join();
  const isSame =
    ports(rule.ports) === ports(wanted.ports) || (rule.effect === "deny" && rule.ports === undefined && wanted.effect === "allow");
  return isPlain && isSame && rule.sandbox === wanted.sandbox && rule.host.toLowerCase() === wanted.host.toLowerCase();
}

/** ms until every running sandbox has to be under a new policy */
const WAIT_MS = 10_000;

async function waitFor(client: Client, generation: number): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const behind = (await client.policy()).sandboxes.filter((sandbox) => sandbox.generation < generation);
    if (behind.length === 0) return;
    if (Date.now() > deadline)
      throw new AppError("TIMEOUT", `not under the new policy after ${WAIT_MS / 1000} s: ${behind.map(({ name }) => name).join(", ")}`);
    await delay(50);
  }
}

async function verdictOf(client: Client, host: string, port: number | undefined, sandbox: string | undefined) {
  const authority = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const url = `https://${authority}${port === undefined ? "" : `:${port}`}/`;
  return client.policyCheck({ url, ...(sandbox === undefined ? {} : { sandbox }) });
}

function restartNotes(report: PolicyReport, port: number | undefined): readonly string[] {
  return report.sandboxes.flatMap(({ name, restart_for_ports: ports }) => {
    const shown = port === undefined ? ports : ports.filter((one) => one === port);
    if (shown.length === 0) return [];
    return [`agentkernel: ${name} reaches port ${shown.join(", ")} after a restart: agentkernel stop ${name} && agentkernel start ${name}`];
  });
}

/** `host`, `host:port`, `[address]:port`; an address with two colons and no brackets has no port. */
function hostAndPort(text: string): { readonly host: string; readonly port: number | undefined } {
  const [, bracketed, plain, digits] = /^(?:(\[[^\]]*\])|([^:]*))(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || host === "") {
    if (/^[0-9a-f:.]+$/i.test(text)) return { host: text, port: undefined };
    throw new AppError("VALIDATION", `${text} is not a host`, { hint: "write api.example.com, *.example.com or host:port" });
  }
  return { host, port: digits === undefined ? undefined : Number(digits) };
}
