import { systemClock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/error.ts";
import { silentLog } from "../base/log.ts";
import { vaultKeyFrom, type HostEnvironment } from "../config/env.ts";
import type { StatePaths } from "../config/paths.ts";
import type { SandboxRecord } from "../sandbox/record.ts";
import type { Config } from "../schema/settings.ts";
import { openStore } from "../store/open-store.ts";
import { checkDestinations } from "./audit/check-destinations.ts";
import type { ConfigProblem } from "./config-problem.ts";
import { EgressGeneration } from "./egress/egress-policy.ts";
import { SandboxSecrets } from "./secrets/sandbox-secrets.ts";

/**
 * What would go wrong with a configuration although every value has the right form: rules, and files and secrets that it names.
 * Nothing is sent.
 * @throws CONFIG_INVALID for what keeps a sandbox or a server from starting at all
 */
export async function checkConfig(place: {
  readonly config: Config;
  readonly paths: StatePaths;
  readonly env: HostEnvironment;
}): Promise<readonly ConfigProblem[]> {
  const { config, paths, env } = place;
  const generation = await EgressGeneration.load({ config, added: [], ownPorts: [] }, () => 1);
  const namesSecrets = [config.secrets, config.llmKeys, config.audit.streams, config.proxy.hooks].some(({ length }) => length > 0);
  if (!namesSecrets) return [];
  await using store = openStore<SandboxRecord>(paths.database, { log: silentLog });
  const vaultKey = vaultKeyFrom(env);
  const secrets = new SandboxSecrets({
    repository: store.secrets,
    vaultKeyFile: paths.vaultKey,
    env,
    clock: systemClock,
    ...(vaultKey === undefined ? {} : { vaultKey }),
  });
  return [...(await checkSecrets(generation, secrets)), ...(await checkDestinations(place, secrets))];
}

async function checkSecrets(generation: EgressGeneration, secrets: SandboxSecrets): Promise<readonly ConfigProblem[]> {
  const { config } = generation;
  const found: ConfigProblem[] = [];
  for (const binding of config.secrets) {
    const key = `secrets.${binding.name}`;
    try {
      const bound = await secrets.available([binding]);
      generation.policyFor({ profile: "moderate", allow: [], secrets: bound });
      if (bound.length === 0)
        found.push({ level: "warning", key, message: "has no value, so sandboxes start without it", hint: settingOf(binding.name) });
    } catch (error) {
      const hint = error instanceof AppError ? error.hint : undefined;
      found.push({ level: "error", key, message: messageOf(error), ...(hint === undefined ? {} : { hint }) });
    }
  }
  for (const { target, vaultKeyName } of config.llmKeys)
    if ((await secrets.valueOf(vaultKeyName)) === undefined)
      found.push({
        level: "warning",
        key: `llm_keys.${/^[\w-]+$/.test(target) ? target : JSON.stringify(target)}`,
        message: `names ${vaultKeyName}, which has no value, so no key is put in`,
        hint: settingOf(vaultKeyName),
      });
  return found;
}

function settingOf(name: string): string {
  return `agentkernel secret set ${name}, or set the variable ${name}`;
}
