import { plainSecrets } from "../../config/plain-secrets.ts";
import { loadCliConfig } from "../cli-config.ts";
import type { Cli } from "../cli.ts";

/** `agentkernel config check`: loading it is the check. */
export async function check(cli: Cli): Promise<number> {
  const { config } = await loadCliConfig(cli);
  for (const key of [...plainSecrets("audit.streams", config.audit.streams), ...plainSecrets("proxy.hooks", config.proxy.hooks)]) {
    cli.output.note(`warning: ${key} holds a secret as text: write { env = "NAME" }, { file = "/path" } or { vault = "NAME" } instead`);
  }
  cli.output.out(config.file === null ? "no configuration file; the defaults hold" : `${config.file} is valid`);
  return 0;
}

/** `agentkernel config explain KEY` */
export async function explain(cli: Cli, key: string): Promise<number> {
  const found = (await loadCliConfig(cli)).explain(key);
  cli.output.out(`${found.key} = ${JSON.stringify(found.value)}  (${found.origin})`);
  for (const other of found.overrode) cli.output.out(`  instead of ${JSON.stringify(other.value)}  (${other.origin})`);
  return 0;
}
