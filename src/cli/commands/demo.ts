import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exitCodeOf } from "../../base/exit-code.ts";
import { environmentFrom, type HostEnvironment } from "../../config/env.ts";
import type { Config } from "../../schema/settings.ts";
import type { ExchangeEvent } from "../../schema/event.ts";
import { type CliConfig, loadCliConfig } from "../cli-config.ts";
import { type Output, printable } from "../output.ts";
import { table } from "../table.ts";
import type { Cli } from "../cli.ts";
import { streamExec } from "../stream-exec.ts";
import { Interrupts } from "../interrupts.ts";
import { usageTable } from "../usage-table.ts";

/** Where the demo's Node, SDKs and agent stand inside. */
const INSIDE = "/opt/agentkernel-demo";

type Provider = { readonly variable: string; readonly host: string; readonly standInKey: string };

const PROVIDERS: readonly Provider[] = [
  { variable: "OPENAI_API_KEY", host: "api.openai.com", standInKey: "sk-proj-stand-in-0000000000000000000000000000" },
  { variable: "ANTHROPIC_API_KEY", host: "api.anthropic.com", standInKey: "sk-ant-api03-stand-in-00000000000000000000000" },
];

/** `agentkernel demo`: an agent in a sandbox, its model calls metered, one exfiltration blocked. */
export async function demo(cli: Cli): Promise<number> {
  const { output } = cli;
  using interrupts = new Interrupts((text) => output.note(text));
  const loaded = await loadCliConfig(cli);
  const real = PROVIDERS.filter(({ variable }) => (loaded.env.get(variable) ?? "") !== "");
  const [{ createStandIn }, { stageDemo }, { nextSteps }] = await Promise.all([
    import("../../demo/stand-in.ts"),
    import("../../demo/stage.ts"),
    import("../../demo/next-steps.ts"),
  ]);
  await using standIn = real.length > 0 ? undefined : await createStandIn();
  output.out(
    standIn === undefined
      ? `Provider: the real ${real.map(({ host }) => host).join(" and ")}, since ${real.map(({ variable }) => variable).join(" and ")} is set here.`
      : `Provider: a local STAND-IN at ${standIn.origin} that speaks the providers' wire formats (no key is set here; set OPENAI_API_KEY or ANTHROPIC_API_KEY for the real ones).`,
  );
  await using agent = await stageDemo(loaded.paths.staged);
  const { config, env } = standIn === undefined ? loaded : await throughStandIn(loaded, standIn, agent.dir);
  const used = standIn === undefined ? real : PROVIDERS;
  const [{ createApp }, { systemUser }] = await Promise.all([import("../../app/create-app.ts"), import("../../app/caller.ts")]);
  await using app = await createApp({ config, paths: loaded.paths, env }, { hasMetrics: false, startsSandbox: true });
  const running = app.sandboxes.run(
    systemUser(),
    {
      command: [...agent.command(INSIDE)],
      workspace: null,
      mounts: [{ source: agent.dir, target: INSIDE, read_only: true }],
      secrets: used.map(({ variable, host }) => `${variable}:${host}`),
    },
    { signal: interrupts.signal },
  );
  const exec = await running.catch((error: unknown) => {
    if (interrupts.exitCode === undefined) throw error;
  });
  if (exec === undefined) return interrupts.exitCode ?? 125;
  interrupts.running(exec);
  output.out(`Sandbox: ${exec.sandbox.name} (${exec.sandbox.backend}, profile ${exec.sandbox.profile}); in it runs an unmodified agent:\n`);
  exec.stdin.on("error", () => undefined);
  exec.stdin.end();
  const code = await streamExec(exec, { tty: false, stdin: false, forward: false });
  interrupts.finishing();
  await exec.finished;
  await show(output, app, exec.sandbox.name);
  output.out(
    `\nWhat to try next:\n${nextSteps()
      .map((step) => `  ${step}`)
      .join("\n")}`,
  );
  return code === 0 ? 0 : exitCodeOf(await exec.exited);
}

type Shown = {
  readonly usage: { bySandbox(query: { sandbox: string }): Promise<Readonly<Record<string, Parameters<typeof usageTable>[0]>>> };
  readonly events: {
    tail(query: { last: number; sandbox: string; types: readonly ["egress.exchange"] }): Promise<readonly { readonly type: string }[]>;
  };
};

async function show(output: Output, app: Shown, sandbox: string): Promise<void> {
  const usage = await app.usage.bySandbox({ sandbox });
  const rows = Object.values(usage).flatMap((entries) => entries.map((entry) => ({ ...entry, key: sandbox })));
  output.out(`\nUsage, as the gateway metered it:\n${usageTable(rows, "SANDBOX")}`);
  const events = (await app.events.tail({ last: 100, sandbox, types: ["egress.exchange"] })) as readonly ExchangeEvent[];
  output.out(
    `\nDecisions:\n${table(events, [
      { title: "DECISION", value: (event) => event.decision },
      { title: "REQUEST", value: (event) => printable(`${event.method} ${event.url}`) },
      { title: "STATUS", value: (event) => String(event.status ?? "–"), align: "right" },
      { title: "KEY PUT IN", value: (event) => (event.secret_injected ? "yes" : "no") },
      { title: "RULE", value: (event) => event.rule },
    ])}`,
  );
  const blocked = events.find((event) => event.decision === "deny");
  if (blocked !== undefined) output.out(`\nBlocked: ${printable(blocked.url)}: ${printable(blocked.reason)}`);
}

/** The providers' hosts lead to the stand-in, with keys that only it accepts. */
async function throughStandIn(
  loaded: CliConfig,
  standIn: { readonly origin: string; readonly caPem: string },
  /** this process's own: another demo has another stand-in */
  dir: string,
): Promise<{ readonly config: Config; readonly env: HostEnvironment }> {
  const caFile = join(dir, "stand-in.pem");
  await writeFile(caFile, standIn.caPem, { mode: 0o600 });
  const upstreams = PROVIDERS.map(({ host }) => ({ host, url: standIn.origin, caFile }));
  const keys = Object.fromEntries(PROVIDERS.map(({ variable, standInKey }) => [variable, standInKey]));
  const names = loaded.env.names();
  return {
    config: { ...loaded.config, egress: { ...loaded.config.egress, upstreams: [...upstreams, ...loaded.config.egress.upstreams] } },
    env: environmentFrom({ ...Object.fromEntries(names.map((name) => [name, loaded.env.get(name)])), ...keys }),
  };
}
