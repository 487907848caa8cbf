import type { Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** Model calls: usage, providers, prices, budgets and keys. */
export function declareLlm(program: Command, lazily: Lazily): void {
  const llm = program.command("llm").description("model calls: usage, providers, prices, budgets and keys");
  llm
    .command("usage")
    .description("tokens and cost per sandbox, provider and model")
    .option("--sandbox <name>", "only this sandbox")
    .option("--since <time>", "only since this time, or the last so long, as 7d")
    .option("--by <key>", "model, provider, sandbox, day or label")
    .option("--all", "earlier sandboxes of the same name too")
    .option("--json", "print the result as JSON")
    .option("--csv", "print the result as CSV")
    .option("--watch", "show it again whenever it has changed")
    .action(lazily(async () => (await import("../commands/llm.ts")).usage));

  llm
    .command("providers")
    .description("model APIs that are recognised, and where")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/llm-catalog.ts")).providers));
  llm
    .command("prices")
    .description("what models cost, in US dollars for a million tokens")
    .argument("[model]", "a model, looked up as a call of it would be, or a pattern such as 'claude-*'")
    .option("--provider <provider>", "only at this provider")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/llm-catalog.ts")).prices));

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
    .action(lazily(async () => (await import("../commands/budget.ts")).set));
  budget
    .command("ls")
    .description("budgets, and what is left of them")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/budget.ts")).list));
  budget
    .command("rm")
    .description("remove budgets that `llm budget set` made")
    .argument("<name...>")
    .action(lazily(async () => (await import("../commands/budget.ts")).remove));

  const keys = llm.command("keys").description("keys of the organisation, put into the requests of every sandbox");
  keys
    .command("set")
    .description("put a secret into requests to a provider or host, from now on")
    .argument("<target>", "as openai, or api.openai.com")
    .argument("<secret>", "name of a secret that `secret set` keeps")
    .action(lazily(async () => (await import("../commands/llm-keys.ts")).set));
  keys
    .command("ls")
    .description("for whom, and under which name; never values")
    .option("--json", "print the result as JSON")
    .action(lazily(async () => (await import("../commands/llm-keys.ts")).list));
  keys
    .command("rm")
    .description("put no key of the organisation into these requests any more")
    .argument("<target...>")
    .action(lazily(async () => (await import("../commands/llm-keys.ts")).remove));
}
