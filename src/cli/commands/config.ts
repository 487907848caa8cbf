import { AppError } from "../../base/error.ts";
import { loadCaFile } from "../../config/ca-file.ts";
import { plainSecrets } from "../../config/plain-secrets.ts";
import { loadPriceFile } from "../../config/price-file.ts";
import type { Config } from "../../schema/settings.ts";
import { type CliConfig, loadCliConfig } from "../cli-config.ts";
import type { Cli } from "../cli.ts";
import { printable } from "../output.ts";

/** `agentkernel config check`: loading it, the files that it names, and what streams and hooks need, is the check. */
export async function check(cli: Cli): Promise<number> {
  const loaded = await loadCliConfig(cli);
  const { config } = loaded;
  await loadNamedFiles(config);
  for (const key of [
    ...plainSecrets("audit.streams", config.audit.streams),
    ...plainSecrets("proxy.hooks", config.proxy.hooks),
    ...plainSecrets("llm.otlp", config.llm.otlp === null ? [] : [config.llm.otlp]),
  ]) {
    cli.output.note(`warning: ${key} holds a secret as text: write { env = "NAME" }, { file = "/path" } or { vault = "NAME" } instead`);
  }
  if (config.audit.streams.length > 0 || config.proxy.hooks.length > 0) await checkWays(cli, loaded);
  cli.output.out(config.file === null ? "no configuration file; the defaults hold" : `${config.file} is valid`);
  return 0;
}

/** @throws CONFIG_INVALID after all of them were named */
async function checkWays(cli: Cli, loaded: CliConfig): Promise<void> {
  const { checkDestinations } = await import("../../app/audit/check-destinations.ts");
  const problems = await checkDestinations(loaded);
  for (const { level, key, message, hint } of problems)
    cli.output.note(
      `${level}: ${printable(message.startsWith(key) ? message : `${key}: ${message}`)}${hint === undefined ? "" : ` (${hint})`}`,
    );
  const errors = problems.filter(({ level }) => level === "error").length;
  if (errors === 0) return;
  const what = errors === 1 ? "a destination" : `${errors} destinations or parts of them`;
  throw new AppError("CONFIG_INVALID", `${loaded.config.file ?? "the configuration"}: ${what} would not work, named above`);
}

/** @throws CONFIG_INVALID for the first that cannot be used */
async function loadNamedFiles({ egress, llm }: Config): Promise<void> {
  if (egress.caFile !== undefined) await loadCaFile("egress.ca_file", egress.caFile);
  for (const [at, { caFile }] of egress.upstreams.entries())
    if (caFile !== undefined) await loadCaFile(`egress.upstreams[${at}].ca_file`, caFile);
  if (llm.otlp?.caFile !== undefined) await loadCaFile("llm.otlp.ca_file", llm.otlp.caFile);
  if (llm.priceFile !== null) await loadPriceFile(llm.priceFile);
}

/** `agentkernel config explain KEY` */
export async function explain(cli: Cli, key: string): Promise<number> {
  const found = (await loadCliConfig(cli)).explain(key);
  cli.output.out(`${found.key} = ${JSON.stringify(found.value)}  (${found.origin})`);
  for (const other of found.overrode) cli.output.out(`  instead of ${JSON.stringify(other.value)}  (${other.origin})`);
  return 0;
}
