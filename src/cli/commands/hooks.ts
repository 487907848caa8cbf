import { AppError } from "../../base/error.ts";
import { parseSince } from "../../base/duration.ts";
import { hook, type HookInfo } from "../../schema/hook.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../connect.ts";
import { readHidden } from "../hidden-value.ts";
import { MAX_DEAD_LETTERS, showDeadLetters } from "../dead-letters.ts";
import { checkFlags } from "../flag-values.ts";
import { count, printable } from "../output.ts";
import { countOf } from "../read-events.ts";
import { table } from "../table.ts";

type AddFlags = {
  readonly event: string;
  readonly url?: string;
  readonly file?: string;
  readonly audit?: boolean;
  readonly filter: readonly string[];
  readonly signed?: boolean;
  readonly decide?: boolean;
  readonly timeoutMs?: string;
  readonly cacheTtl?: string;
  readonly batch?: string;
  readonly includeBody?: string | true;
};

const SECRET_HINT = 'echo "whsec_$(openssl rand -base64 32)" makes one; it is read from stdin';

/** `agentkernel hooks add NAME`: the server checks it, as it checks those of the API. */
export async function add(cli: Cli, name: string, flags: AddFlags): Promise<number> {
  const targets = [
    ...(flags.url === undefined ? [] : [{ type: "webhook" as const, url: flags.url }]),
    ...(flags.file === undefined ? [] : [{ type: "file" as const, path: flags.file }]),
    ...(flags.audit === true ? [{ type: "audit" as const }] : []),
  ];
  const [target] = targets;
  if (target === undefined || targets.length > 1)
    throw new AppError("VALIDATION", "a hook has one target", { hint: "give one of --url, --file and --audit" });
  const filter = Object.fromEntries(flags.filter.map(pairOf));
  const request = {
    name,
    event: flags.event as "on_response",
    target,
    ...(flags.filter.length === 0 ? {} : { filter }),
    ...(flags.signed === true ? { secret: await readHidden(cli, "the secret (whsec_…)", SECRET_HINT) } : {}),
    ...(flags.decide === true ? { mode: "decide" as const } : {}),
    ...(flags.timeoutMs === undefined ? {} : { timeout_ms: Number(flags.timeoutMs) }),
    ...(flags.cacheTtl === undefined ? {} : { cache_ttl: Number(flags.cacheTtl) }),
    ...(flags.batch === undefined ? {} : { batch: Number(flags.batch) }),
    ...(flags.includeBody === undefined ? {} : { include_body: flags.includeBody }),
  };
  checkFlags(hook, request, flagOf);
  using client = await connect(cli);
  const made = await client.setHook(request);
  cli.output.note(`hook ${made.name} is registered`);
  return 0;
}

export async function list(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  using client = await connect(cli);
  const hooks = await client.hooks();
  if (flags.json === true) cli.output.json(hooks);
  else if (hooks.length === 0) cli.output.note("no hooks");
  else
    cli.output.out(
      table(
        hooks,
        [
          { title: "NAME", value: ({ name }) => name },
          { title: "EVENT", value: ({ event, mode }) => (mode === "decide" ? `${event} (decides)` : event) },
          { title: "TARGET", value: ({ target }) => placeOf(target), wraps: true },
          // whoever decides is asked, and gets no deliveries
          { title: "STATE", value: ({ mode, status }) => (mode === "decide" ? "deciding" : status.state) },
          { title: "LAST SUCCESS", value: ({ status }) => status.last_success ?? "–" },
          { title: "LAG", value: ({ status }) => count(status.lag), align: "right" },
          { title: "RETRIES", value: ({ status }) => count(status.retries), align: "right" },
          { title: "DEAD", value: ({ status }) => count(status.dead_letters), align: "right" },
          { title: "FROM", value: ({ file }) => file ?? "api", wraps: true },
        ],
        cli.output.width,
      ),
    );
  return 0;
}

export async function remove(cli: Cli, names: readonly string[]): Promise<number> {
  using client = await connect(cli);
  for (const name of names) cli.output.note(await client.removeHook(name));
  return 0;
}

/** `agentkernel hooks test NAME`: exit code 1 when the sample was not taken. */
export async function test(cli: Cli, name: string, flags: { readonly json?: boolean }): Promise<number> {
  using client = await connect(cli);
  const result = await client.testHook(name);
  if (flags.json === true) cli.output.json(result);
  else cli.output.out(`${printable(result.answer)} (${result.duration_ms} ms)`);
  return result.delivered ? 0 : 1;
}

export async function dead(
  cli: Cli,
  name: string,
  flags: { readonly lines: string; readonly purge?: boolean; readonly json?: boolean },
): Promise<number> {
  const last = countOf(flags.lines, MAX_DEAD_LETTERS);
  using client = await connect(cli);
  const { dead_letters: letters } = await client.hookDeliveries(name, { last });
  showDeadLetters(cli, letters, flags.json === true);
  if (flags.purge === true && letters.length > 0) cli.output.note(await client.replayHook(name, { purge: true }));
  return 0;
}

export async function replay(cli: Cli, name: string, flags: { readonly since?: string; readonly dead?: boolean }): Promise<number> {
  const since = flags.since === undefined ? undefined : new Date(parseSince(flags.since, Date.now())).toISOString();
  using client = await connect(cli);
  cli.output.note(
    await client.replayHook(name, { ...(since === undefined ? {} : { since }), ...(flags.dead === true ? { dead: true } : {}) }),
  );
  return 0;
}

/** The flag that says what stands at this place of a hook. */
function flagOf([first, second]: readonly PropertyKey[]): string {
  if (first === "name") return "the name";
  if (first === "mode") return "--decide";
  if (first === "secret") return "--signed";
  if (first === "filter") return second === undefined ? "--filter" : `--filter ${String(second)}`;
  if (first === "target") return second === "path" ? "--file" : "--url";
  return `--${String(first).replaceAll("_", "-")}`;
}

function placeOf(target: HookInfo["target"]): string {
  const place = target["url"] ?? target["path"];
  return typeof place === "string" ? place : target.type;
}

function pairOf(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new AppError("VALIDATION", `--filter ${text} is not KEY=VALUE`, { hint: "as host=*.example.com or label=team=core" });
  return [text.slice(0, at), text.slice(at + 1)];
}
