import { AppError } from "../../base/error.ts";
import { loadCaFile } from "../../config/ca-file.ts";
import { plainSecrets } from "../../config/plain-secrets.ts";
import { type CliConfig, loadCliConfig } from "../cli-config.ts";
import type { Cli } from "../cli.ts";
import { printable } from "../output.ts";

/** `agentkernel config check`: loading it, the files that it names, and what streams and hooks need, is the check. */
export async function check(cli: Cli): Promise<number> {
  const loaded = await loadCliConfig(cli);
  const { config } = loaded;
  if (config.llm.otlp?.caFile !== undefined) await loadCaFile("llm.otlp.ca_file", config.llm.otlp.caFile);
  for (const key of [
    ...plainSecrets("audit.streams", config.audit.streams),
    ...plainSecrets("proxy.hooks", config.proxy.hooks),
    ...plainSecrets("llm.otlp", config.llm.otlp === null ? [] : [config.llm.otlp]),
  ]) {
    cli.output.note(`warning: ${key} holds a secret as text: write { env = "NAME" }, { file = "/path" } or { vault = "NAME" } instead`);
  }
  await checkNamed(cli, loaded);
  cli.output.out(config.file === null ? "no configuration file; the defaults hold" : `${config.file} is valid`);
  return 0;
}

/** @throws CONFIG_INVALID after all of them were named */
async function checkNamed(cli: Cli, loaded: CliConfig): Promise<void> {
  const { checkConfig } = await import("../../app/check-config.ts");
  const problems = await checkConfig(loaded);
  for (const { level, key, message, hint } of problems) {
    // a message begins with its key, or continues the sentence about it
    const sentence = message.startsWith(key) ? message : `${key}${/^(?:has|names|is|must) /.test(message) ? "" : ":"} ${message}`;
    cli.output.note(`${level}: ${printable(sentence)}${hint === undefined ? "" : ` (${hint})`}`);
  }
  const errors = problems.filter(({ level }) => level === "error").length;
  if (errors === 0) return;
  const what = errors === 1 ? "a setting" : `${errors} settings`;
  throw new AppError("CONFIG_INVALID", `${loaded.config.file ?? "the configuration"}: ${what} would not work, named above`);
}

/** `agentkernel config explain [KEY]` */
export async function explain(cli: Cli, key: string | undefined, flags: { readonly json?: boolean }): Promise<number> {
  const found = (await loadCliConfig(cli)).explain(key ?? "");
  if (flags.json === true) cli.output.json(found);
  else
    for (const { key: name, value, origin, overrode } of found) {
      cli.output.out(printable(`${name} = ${JSON.stringify(value)}  (${origin})`));
      for (const other of overrode) cli.output.out(printable(`  instead of ${JSON.stringify(other.value)}  (${other.origin})`));
    }
  return 0;
}
