import { createHash } from "node:crypto";
import { loadCaFile } from "../../config/ca-file.ts";
import type { GatewaySecret, Upstream } from "../../egress/gateway.ts";
import { compilePolicy } from "../../policy/compile.ts";
import { HOST_NAME, policyInputFor } from "../../policy/policy-input.ts";
import type { Policy, RuleInput } from "../../policy/policy.ts";
import type { SandboxRecord } from "../../sandbox/record.ts";
import type { SecretFileDefinition } from "../../schema/secret-file-definition.ts";
import type { PriceFile } from "../../schema/price-file.ts";
import { PROFILES } from "../../schema/profile.ts";
import type { Config, EgressRuleSettings } from "../../schema/settings.ts";
import { ownAddresses } from "./own-addresses.ts";

export type PolicySubject = Pick<SandboxRecord, "profile" | "allow" | "secrets"> &
  Partial<Pick<SandboxRecord, "secretFiles" | "uuid" | "name" | "isEphemeral" | "hostPorts">>;

/** A rule made while running, with the sandbox it is for. */
export type AddedRule = { readonly id: number; readonly sandboxUuid: string | null; readonly rule: EgressRuleSettings };

/** What a generation is made from; `version` is found when everything else was found to be right. */
export type GenerationParts = {
  readonly config: Config;
  readonly added: readonly AddedRule[];
  /** grows when a control listener is opened */
  readonly ownPorts: readonly number[];
  /** the organisation's, with their values of now */
  readonly orgKeys?: readonly GatewaySecret[];
};

/** What the configuration names by path, as it was read for this generation. */
type GenerationFiles = Pick<EgressGeneration, "upstreams" | "extraCa" | "ownPrices">;

/**
 * One generation of the operator's configuration and of the rules made while running, from which every sandbox's policy is made: by
 * create, start and reload alike.
 */
export class EgressGeneration {
  readonly version: number;
  readonly config: Config;
  readonly upstreams: readonly Upstream[];
  /** PEM of `[egress].ca_file` */
  readonly extraCa: string | undefined;
  /** the operator's own prices, `[llm].price_file` */
  readonly ownPrices: PriceFile | undefined;
  readonly added: readonly AddedRule[];
  readonly orgKeys: readonly GatewaySecret[];
  readonly #ownPorts: readonly number[];

  private constructor(version: number, parts: GenerationParts, files: GenerationFiles) {
    this.version = version;
    this.config = parts.config;
    this.added = parts.added;
    this.orgKeys = parts.orgKeys ?? [];
    this.#ownPorts = parts.ownPorts;
    this.upstreams = files.upstreams;
    this.extraCa = files.extraCa;
    this.ownPrices = files.ownPrices;
  }

  /**
   * @param versionOf gives the number of a generation with this content; not called for parts that are wrong
   * @throws CONFIG_INVALID for a file that cannot be read and for a rule that is wrong
   */
  static async load(parts: GenerationParts, versionOf: (fingerprint: string) => number): Promise<EgressGeneration> {
    const { config, added } = parts;
    const { egress } = config;
    const extraCa = egress.caFile === undefined ? undefined : await loadCaFile("egress.ca_file", egress.caFile);
    const upstreams = await Promise.all(
      egress.upstreams.map(async ({ host, url, caFile }, at): Promise<Upstream> => {
        const ca = caFile === undefined ? {} : { ca: await loadCaFile(`egress.upstreams[${at}].ca_file`, caFile) };
        return { host, url: new URL(url), ...ca };
      }),
    );
    // the schema of prices is loaded by those who have some
    const { priceFile } = config.llm;
    const ownPrices = priceFile === null ? undefined : await (await import("../../config/price-file.ts")).loadPriceFile(priceFile);
    const files: GenerationFiles = { upstreams, extraCa, ownPrices };
    // a rule that is wrong shows now, not at the first sandbox
    const probe = new EgressGeneration(0, parts, files);
    const { profile } = config.sandbox;
    const sandboxes = [undefined, ...new Set(added.flatMap(({ sandboxUuid }) => sandboxUuid ?? []))];
    for (const uuid of sandboxes) probe.policyFor({ profile, allow: [], secrets: [], ...(uuid === undefined ? {} : { uuid }) });
    const keys = probe.orgKeys.map(({ name, host }) => [name, host]);
    const content = JSON.stringify([
      egress,
      upstreams.map(({ ca }) => ca),
      extraCa,
      config.secrets,
      added,
      ...(keys.length === 0 ? [] : [keys]),
    ]);
    const version = versionOf(createHash("sha256").update(content).digest("base64url"));
    return new EgressGeneration(version, parts, files);
  }

  /** @throws VALIDATION, POLICY_DENIED for what the caller asked for and the operator does not permit */
  policyFor(subject: PolicySubject, options: { readonly isLive?: boolean } = {}): Policy {
    return compilePolicy(
      policyInputFor({
        ref: { id: subject.profile, name: this.config.file ?? "defaults", version: this.version },
        egress: this.config.egress,
        profile: PROFILES[subject.profile],
        allow: subject.allow,
        secrets: [
          ...subject.secrets.map(({ name, host, isDefault }) => ({ name, host, origin: originOf(isDefault) })),
          ...(subject.secretFiles ?? []).flatMap(hostsOfFile).map(({ name, host }) => ({ name, host, origin: originOf(false) })),
          ...(PROFILES[subject.profile].network === "none" ? [] : this.orgKeys).map(({ name, host }) => ({
            name,
            host,
            origin: originOf(true),
          })),
        ],
        added: this.added.filter(({ sandboxUuid }) => sandboxUuid === null || sandboxUuid === subject.uuid).map(addedRule),
        ...(subject.hostPorts === undefined ? {} : { hostPorts: subject.hostPorts }),
        ownAddresses: ownAddresses(),
        ownPorts: this.#ownPorts,
        ...(subject.name === undefined || subject.isEphemeral === true ? {} : { sandbox: subject.name }),
        ...options,
      }),
    );
  }
}

/** Where `host.agentkernel.internal` leads: to this machine's loopback, on the ports that were opened. */
export function hostPortUpstreams(ports: readonly number[] = []): readonly Upstream[] {
  return ports.map((port) => ({ host: HOST_NAME, port, url: new URL(`http://127.0.0.1:${port}`) }));
}

/** Where the tokens of a file may go. */
function hostsOfFile({ name, tokens, refresh }: SecretFileDefinition): readonly { readonly name: string; readonly host: string }[] {
  const hosts = [...tokens.flatMap((token) => token.hosts ?? []), ...(refresh === undefined ? [] : [new URL(refresh.url).hostname])];
  return [...new Set(hosts)].map((host) => ({ name, host }));
}

function originOf(isOperators: boolean | undefined): "operator" | "caller" {
  return isOperators === true ? "operator" : "caller";
}

export function addedRule({ id, rule, sandboxUuid }: AddedRule): RuleInput {
  return { ...rule, id: `api.rules[${id}]`, origin: "api", ...(sandboxUuid === null ? { isForAll: true } : {}) };
}
