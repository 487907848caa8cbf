import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/error.ts";
import { Secret } from "../../base/secret.ts";
import type { HostEnvironment } from "../../config/env.ts";
import { OWN_VARIABLES } from "../../config/env.ts";
import type { GatewaySecret } from "../../egress/gateway.ts";
import type { SandboxRecord, SecretBindingRecord } from "../../sandbox/record.ts";
import type { SecretBinding } from "../../schema/api.ts";
import type { SecretReference } from "../../schema/secret-reference.ts";
import type { BindingSettings } from "../../schema/settings.ts";
import { parsePathPattern } from "../../policy/path.ts";
import { type Binding, type BindingParts, makeBinding, type ParsedBinding, parseBinding } from "../../secrets/binding.ts";
import { derivedRandom, type RandomSource } from "../../secrets/placeholder.ts";
import { prepareSecrets } from "../../secrets/prepare.ts";
import { createResolver, type SecretResolver } from "../../secrets/references.ts";
import { createVault, type SecretRepository, type Vault } from "../../secrets/vault.ts";
import { loadOrCreateVaultKey, type VaultKey, vaultKeyFromText } from "../../secrets/vault-key.ts";

export type SandboxSecretsOptions = {
  readonly repository: SecretRepository;
  readonly vaultKeyFile: string;
  /** stronger than the file */
  readonly vaultKey?: Secret;
  readonly env: HostEnvironment;
  readonly clock: Clock;
};

/** Values that came with a request are kept under names that `secret set` cannot make: they hold the sandbox's uuid. */
const OWN_PREFIX = "sandbox.";

/** ms that a reference may take; a command has a deadline of its own */
const RESOLVE_MS = 60_000;

/** ms for which a value may be kept whose sandbox is not there yet: it is stored before the sandbox is recorded */
const UNCLAIMED_MS = 60 * 60 * 1000;

/** Secrets of sandboxes: from bindings to what the gateway needs. The vault is opened when the first of them is needed. */
export class SandboxSecrets {
  readonly #options: SandboxSecretsOptions;
  #opened: Promise<{ readonly key: VaultKey; readonly vault: Vault; readonly resolver: SecretResolver }> | undefined;

  constructor(options: SandboxSecretsOptions) {
    this.#options = options;
  }

  /** Reads a binding; a value in it goes into the vault, for this sandbox alone. @throws VALIDATION, NOT_FOUND */
  async bind(asked: string | SecretBinding, uuid: string): Promise<SecretBindingRecord> {
    const { binding, value } = typeof asked === "string" ? parseBinding(asked, "api") : fullBinding(asked);
    const { vault, resolver } = await this.#open();
    if (value === undefined) {
      resolver.byName(binding.name);
      return binding;
    }
    const ownValue = `${OWN_PREFIX}${uuid}.${binding.name}`;
    vault.set(ownValue, value);
    return { ...binding, ownValue };
  }

  /**
   * The operator's default bindings of which there is a value; one that nobody set is simply not given.
   * @throws NOT_FOUND, VALIDATION when the configuration says where a value is, and it is not there
   */
  async available(defaults: readonly BindingSettings[]): Promise<readonly SecretBindingRecord[]> {
    if (defaults.length === 0) return [];
    const { resolver } = await this.#open();
    for (const { from } of defaults) if (from !== undefined) await resolver.resolve(from, AbortSignal.timeout(RESOLVE_MS));
    return defaults
      .map(({ from, ...binding }) => ({ ...checkedBinding(binding), isDefault: true, ...(from === undefined ? {} : { from }) }))
      .filter(({ name, from }) => from !== undefined || hasValue(resolver, name));
  }

  /** Values and placeholders of a sandbox; the same placeholders at every start, since they are derived. */
  async materialise(record: Pick<SandboxRecord, "uuid" | "secrets">): Promise<readonly GatewaySecret[]> {
    if (record.secrets.length === 0) return [];
    const { key, vault, resolver } = await this.#open();
    const own = new Map(record.secrets.flatMap(({ name, ownValue }) => (ownValue === undefined ? [] : [[name, ownValue]])));
    const referred = new Map<string, Secret>();
    for (const { name, from } of record.secrets)
      if (from !== undefined && !referred.has(name)) referred.set(name, await resolver.resolve(from, AbortSignal.timeout(RESOLVE_MS)));
    const valueOf = (name: string): Secret => {
      const found = referred.get(name);
      if (found !== undefined) return found;
      const kept = own.get(name);
      return (kept === undefined ? undefined : vault.get(kept)) ?? resolver.byName(name);
    };
    return prepareSecrets(record.secrets, valueOf, (name) => derivedRandom(key.bytes, `${record.uuid}\0${name}`)).bound;
  }

  /**
   * The same secrets with the values of now, under the placeholders that the sandbox has. One whose value is gone stays as one that
   * may be used nowhere.
   */
  async refresh(record: Pick<SandboxRecord, "uuid" | "secrets">, held: readonly GatewaySecret[]): Promise<readonly GatewaySecret[]> {
    const { resolver } = await this.#open();
    const now: GatewaySecret[] = [];
    for (const secret of held) {
      const { ownValue, from } = record.secrets.find(({ name }) => name === secret.name) ?? {};
      // a command may ask a person, who is not asked again for what another secret brought about
      if (ownValue !== undefined || (from !== undefined && "command" in from)) {
        now.push(secret);
        continue;
      }
      const { isRevoked: _before, ...rest } = secret;
      const value = await valueNow(resolver, secret.name, from);
      now.push(value === undefined ? { ...rest, isRevoked: true } : { ...rest, value });
    }
    return now;
  }

  /** Where placeholders of other kinds come from: the same for the same context. */
  async placeholderSource(): Promise<(context: string) => RandomSource> {
    const { key } = await this.#open();
    return (context) => derivedRandom(key.bytes, context);
  }

  /** What other things of this installation are sealed with. */
  async vaultKey(): Promise<VaultKey> {
    return (await this.#open()).key;
  }

  /** Forgets the values that belonged to this sandbox alone. */
  async forget(record: Pick<SandboxRecord, "secrets">): Promise<void> {
    for (const { ownValue } of record.secrets) if (ownValue !== undefined) (await this.#open()).vault.remove(ownValue);
  }

  /** The value behind a name, of the environment or of the vault; undefined when nobody set one. */
  async valueOf(name: string): Promise<Secret | undefined> {
    const { resolver } = await this.#open();
    return hasValue(resolver, name) ? resolver.byName(name) : undefined;
  }

  /** A reference of the configuration; null is none. `signal` ends it before its deadline. */
  async resolve(reference: SecretReference | null, signal?: AbortSignal): Promise<Secret | undefined> {
    if (reference === null) return undefined;
    const deadline = AbortSignal.timeout(RESOLVE_MS);
    const { resolver } = await this.#open();
    return resolver.resolve(reference, signal === undefined ? deadline : AbortSignal.any([signal, deadline]));
  }

  /** Entries that people made. Those of sandboxes and hooks have a dot in their names, which no name of a person's has. */
  async vault(): Promise<Vault> {
    const { vault } = await this.#open();
    return { ...vault, list: () => vault.list().filter(({ name }) => !name.includes(".")) };
  }

  /** Every entry, those that are kept for sandboxes and hooks too. */
  async wholeVault(): Promise<Vault> {
    return (await this.#open()).vault;
  }

  /** Forgets values of sandboxes that are not known: their process died between keeping the value and recording the sandbox. */
  prune(isKnown: (uuid: string) => boolean): void {
    const { repository, clock } = this.#options;
    for (const { name, updatedAt } of repository.list()) {
      if (!name.startsWith(OWN_PREFIX) || updatedAt > clock.now() - UNCLAIMED_MS) continue;
      const uuid = name.slice(OWN_PREFIX.length).split(".", 1)[0] ?? "";
      if (!isKnown(uuid)) repository.remove(name);
    }
  }

  async #open() {
    if (this.#opened !== undefined) return this.#opened;
    const opening = (async () => {
      const { repository, vaultKeyFile, vaultKey, env, clock } = this.#options;
      const key = vaultKey === undefined ? await loadOrCreateVaultKey(vaultKeyFile) : vaultKeyFromText(vaultKey, "AGENTKERNEL_VAULT_KEY");
      const vault = createVault(repository, key, clock);
      return { key, vault, resolver: createResolver({ env, vault, hiddenFromCommands: OWN_VARIABLES }) };
    })();
    this.#opened = opening;
    // a key file that could not be read may be put right while we run
    opening.catch(() => {
      if (this.#opened === opening) this.#opened = undefined;
    });
    return opening;
  }
}

function fullBinding({ name, host, header, scheme, query, methods, paths, value }: SecretBinding): ParsedBinding {
  const binding = checkedBinding({
    name,
    host,
    ...(header === undefined ? {} : { header }),
    ...(scheme === undefined ? {} : { scheme }),
    ...(query === undefined ? {} : { query }),
    ...(methods === undefined ? {} : { methods }),
    ...(paths === undefined ? {} : { paths }),
  });
  return { binding, value: value === undefined ? undefined : new Secret(value) };
}

/** Its paths are read as policy reads them: one that could never fit is refused, not kept. */
function checkedBinding(parts: BindingParts): Binding {
  for (const path of parts.paths ?? []) {
    const pattern = parsePathPattern(path);
    if ("kind" in pattern)
      throw new AppError("VALIDATION", `${parts.name}: the path ${JSON.stringify(path)} ${pattern.reason}`, {
        hint: 'write "/v1/chat/**"',
      });
  }
  return makeBinding(parts);
}

/** Undefined when there is none any more. */
async function valueNow(resolver: SecretResolver, name: string, from: SecretReference | undefined): Promise<Secret | undefined> {
  if (from === undefined) return hasValue(resolver, name) ? resolver.byName(name) : undefined;
  try {
    return await resolver.resolve(from, AbortSignal.timeout(RESOLVE_MS));
  } catch (error) {
    if (error instanceof AppError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

function hasValue(resolver: SecretResolver, name: string): boolean {
  try {
    resolver.byName(name);
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code === "NOT_FOUND") return false;
    throw error;
  }
}
