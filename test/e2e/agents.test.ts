import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { createStandIn, standInUpstreams, type SentUsage, type StandIn } from "../../src/demo/stand-in.ts";
import type { UsageEntry } from "../../src/schema/api.ts";
import { installAgents } from "../support/agents.ts";
import { installation, type Installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";

/** Real agents from npm, unmodified, each with one task in a sandbox, against the stand-in provider. */

const CONTENT = "written by an agent";
const INSIDE = "/opt/agents";

type Agent = {
  readonly name: string;
  readonly provider: SentUsage["provider"];
  readonly host: string;
  readonly env: Readonly<Record<string, string>>;
  /** the command inside, given the prompt */
  readonly command: (prompt: string) => readonly string[];
};

const AGENTS: readonly Agent[] = [
  {
    name: "Claude Code",
    provider: "anthropic",
    host: "api.anthropic.com",
    env: { ANTHROPIC_API_KEY: "dummy", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1" },
    command: (prompt) => [
      `${INSIDE}/node_modules/@anthropic-ai/claude-code-linux-${process.arch}/claude`,
      "-p",
      prompt,
      "--permission-mode",
      "acceptEdits",
      "--allowedTools",
      "Write",
    ],
  },
  {
    name: "Codex",
    provider: "openai",
    host: "api.openai.com",
    env: { OPENAI_API_KEY: "dummy" },
    // a provider of its own name, since the built-in one wants a login first
    command: (prompt) => [
      `${INSIDE}/node`,
      `${INSIDE}/node_modules/@openai/codex/bin/codex.js`,
      "exec",
      "--skip-git-repo-check",
      "--dangerously-bypass-approvals-and-sandbox",
      "-c",
      'model="gpt-5.6-terra"',
      "-c",
      'model_provider="direct"',
      "-c",
      'model_providers.direct={name="direct",base_url="https://api.openai.com/v1",env_key="OPENAI_API_KEY",wire_api="responses"}',
      prompt,
    ],
  },
  {
    name: "Gemini CLI",
    provider: "google",
    host: "generativelanguage.googleapis.com",
    env: { GEMINI_API_KEY: "dummy" },
    command: (prompt) => [
      "sh",
      "-c",
      `mkdir -p ~/.gemini && echo '{"security":{"auth":{"selectedType":"gemini-api-key"}}}' > ~/.gemini/settings.json && exec "$@"`,
      "sh",
      `${INSIDE}/node`,
      `${INSIDE}/node_modules/@google/gemini-cli/bundle/gemini.js`,
      "--skip-trust",
      "--yolo",
      "-p",
      prompt,
    ],
  },
];

describe("an agent from npm in a sandbox", requires("bwrap", "npm"), () => {
  let agents = "";
  beforeAll(async () => {
    agents = await installAgents();
  }, 300_000);

  test.each(AGENTS)("$name finishes a task, and the ledger equals what was sent", { timeout: 180_000 }, async (agent) => {
    await using standIn = await createStandIn();
    await using place = await installation();
    await sendTo(place, standIn);
    const file = `${agent.provider}.txt`;
    const prompt = `Please write the file /workspace/${file} with the text "${CONTENT}"`;
    const environment = Object.entries(agent.env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
    const mount = ["--mount", `${agents}:${INSIDE}:ro`];
    const args = ["run", "--allow", agent.host, ...mount, ...environment, "--", ...agent.command(prompt)];
    const result = await place.run(args, { timeoutMs: 120_000 });
    expect(result.code, result.stderr).toBe(0);
    expect(result.stdout.toString()).toContain("the stand-in provider has seen the result of the tool");
    expect(await readFile(join(place.workspace, file), "utf8")).toBe(CONTENT);

    expect(standIn.sent.length).toBeGreaterThanOrEqual(2);
    expect(standIn.sent.every(({ reported }) => reported)).toBe(true);
    expect(await ledger(place)).toEqual(expectedLedger(standIn.sent));
  });
});

/** Names the stand-in as the origin of the providers' hosts. */
async function sendTo(place: Installation, standIn: StandIn): Promise<void> {
  const caFile = join(place.workspace, "../stand-in.pem");
  await writeFile(caFile, standIn.caPem);
  const tables = standInUpstreams(standIn).map(({ host, url }) =>
    ["[[egress.upstreams]]", `host = "${host}"`, `url = "${url}"`, `ca_file = "${caFile}"`].join("\n"),
  );
  await place.configure(tables.join("\n\n"));
}

type Row = Pick<
  UsageEntry,
  | "provider"
  | "model"
  | "request_count"
  | "streaming_count"
  | "error_count"
  | "unmetered_requests"
  | "total_input_tokens"
  | "total_output_tokens"
  | "total_tokens"
  | "cache_read_tokens"
  | "cache_write_tokens"
  | "reasoning_tokens"
>;

async function ledger(place: Installation): Promise<readonly Row[]> {
  const result = await place.run(["llm", "usage", "--all", "--json"]);
  expect(result.code, result.stderr).toBe(0);
  const bySandbox = JSON.parse(result.stdout.toString()) as Readonly<Record<string, readonly UsageEntry[]>>;
  const rows = Object.values(bySandbox)
    .flat()
    .map(({ last_request: _when, cost_usd: _cost, unpriced_requests: _unpriced, ...row }): Row => row);
  return rows.toSorted((a, b) => a.model.localeCompare(b.model));
}

function expectedLedger(sent: readonly SentUsage[]): readonly Row[] {
  const sum = (calls: readonly SentUsage[], figure: (call: SentUsage) => number | null): number =>
    calls.reduce((total, call) => total + (figure(call) ?? 0), 0);
  const rows = [...Map.groupBy(sent, (call) => call.model)].map(([model, calls]): Row => {
    return {
      provider: calls[0]?.provider ?? "",
      model,
      request_count: calls.length,
      streaming_count: calls.filter((call) => call.streaming).length,
      error_count: 0,
      unmetered_requests: 0,
      total_input_tokens: sum(calls, (call) => call.input),
      total_output_tokens: sum(calls, (call) => call.output),
      total_tokens: sum(calls, (call) => call.total ?? (call.input ?? 0) + (call.output ?? 0)),
      cache_read_tokens: sum(calls, (call) => call.cacheRead),
      cache_write_tokens: sum(calls, (call) => call.cacheWrite),
      reasoning_tokens: sum(calls, (call) => call.reasoning),
    };
  });
  return rows.toSorted((a, b) => a.model.localeCompare(b.model));
}
