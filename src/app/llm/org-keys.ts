import { AppError } from "../../base/error.ts";
import type { GatewaySecret } from "../../egress/gateway.ts";
import type { LlmKeyInfo } from "../../schema/llm-key.ts";
import { hostsOfTarget } from "../../schema/llm-key-hosts.ts";
import type { NewEvent } from "../../schema/event.ts";
import type { Config } from "../../schema/settings.ts";
import { makeBinding } from "../../secrets/binding.ts";
import { checkSecretValue } from "../../secrets/value.ts";
import type { LlmKeyRow, LlmKeyTable } from "../../store/llm-keys.ts";
import type { Caller, LlmKeyService, SecretService } from "../facade.ts";
import type { SandboxSecrets } from "../secrets/sandbox-secrets.ts";

type Keyed = LlmKeyRow & { readonly source: "file" | "api" };

/** Those of the file, and those made over the API for other targets. */
function keysInForce(config: Config, table: LlmKeyTable): readonly Keyed[] {
  const ofFile = config.llmKeys.map((key): Keyed => ({ ...key, source: "file" }));
  const targets = new Set(ofFile.map(({ target }) => target));
  const ofApi = table.list().filter(({ target }) => !targets.has(target));
  return [...ofFile, ...ofApi.map((key): Keyed => ({ ...key, source: "api" }))];
}

/** What the gateway puts into requests; keys whose secret has no value are left out. A host that is named itself comes before a provider's. */
export async function orgKeysOf(config: Config, table: LlmKeyTable, secrets: SandboxSecrets): Promise<readonly GatewaySecret[]> {
  const keys: GatewaySecret[] = [];
  for (const { target, vaultKeyName } of keysInForce(config, table)) {
    const value = await secrets.valueOf(vaultKeyName);
    if (value === undefined) continue;
    checkSecretValue(value.reveal(), vaultKeyName);
    const hosts = hostsOfTarget(target);
    // it stands nowhere inside, so there is nothing to replace
    const made = hosts.map(
      (host): GatewaySecret => ({ ...makeBinding({ name: vaultKeyName, host }), placeholder: "", value, source: "org" }),
    );
    if (hosts[0] === target.toLowerCase()) keys.unshift(...made);
    else keys.push(...made);
  }
  return keys;
}

export type LlmKeyServiceOptions = {
  readonly table: LlmKeyTable;
  readonly config: () => Config;
  readonly secrets: SandboxSecrets;
  readonly vault: SecretService;
  readonly report: (event: NewEvent) => Promise<unknown>;
  /** puts what changed into force in every running sandbox */
  readonly changed: () => Promise<void>;
};

export function createLlmKeyService(options: LlmKeyServiceOptions): LlmKeyService {
  const { table, config, secrets, vault, report, changed } = options;
  const info = async ({ target, vaultKeyName, source }: Keyed): Promise<LlmKeyInfo> => ({
    target,
    hosts: [...hostsOfTarget(target)],
    vault_key_name: vaultKeyName,
    source,
    available: (await secrets.valueOf(vaultKeyName)) !== undefined,
  });
  /** @throws CONFLICT */
  const mustBeOurs = (target: string): void => {
    const { file, llmKeys } = config();
    if (llmKeys.some((key) => key.target === target))
      throw new AppError("CONFLICT", `the key for ${target} belongs to ${file ?? "the configuration"}`, { hint: "change it there" });
  };
  const record = (caller: Caller, target: string, operation: "create" | "update" | "delete"): Promise<unknown> =>
    report({
      type: "admin.change",
      outcome: "permit",
      actor: caller.actor,
      ...(caller.requestId === undefined ? {} : { request_id: caller.requestId }),
      resource_type: "llm_key",
      resource_id: target,
      operation,
    });
  return {
    list: () => Promise.all(keysInForce(config(), table).map(info)),
    async put(caller, target, { vault_key_name: vaultKeyName, value }) {
      mustBeOurs(target);
      if (value !== undefined) {
        checkSecretValue(value, vaultKeyName);
        await vault.set(caller, vaultKeyName, value);
      } else if ((await secrets.valueOf(vaultKeyName)) === undefined)
        throw new AppError("NOT_FOUND", `there is no secret ${vaultKeyName}`, { hint: `agentkernel secret set ${vaultKeyName}` });
      const isNew = table.list().every((key) => key.target !== target);
      await record(caller, target, isNew ? "create" : "update");
      table.put({ target, vaultKeyName });
      await changed();
      return info({ target, vaultKeyName, source: "api" });
    },
    async remove(caller, target) {
      mustBeOurs(target);
      if (table.list().every((key) => key.target !== target))
        throw new AppError("NOT_FOUND", `there is no key for ${target}`, { hint: "agentkernel llm keys ls shows those there are" });
      await record(caller, target, "delete");
      table.remove(target);
      await changed();
    },
  };
}
