import { networkInterfaces } from "node:os";
import { loadCaFile } from "../config/ca-file.ts";
import type { Upstream } from "../egress/gateway.ts";
import { compilePolicy } from "../policy/compile.ts";
import { policyInputFor } from "../policy/policy-input.ts";
import type { Policy } from "../policy/policy.ts";
import type { SandboxRecord } from "../sandbox/record.ts";
import { PROFILES } from "../schema/profile.ts";
import type { Config } from "../schema/settings.ts";

export type PolicySubject = Pick<SandboxRecord, "profile" | "allow" | "secrets">;

/** One generation of the operator's configuration, from which every sandbox's policy is made: by create, start and reload alike. */
export class EgressGeneration {
  readonly version: number;
  readonly config: Config;
  readonly upstreams: readonly Upstream[];
  /** PEM of `[egress].ca_file` */
  readonly extraCa: string | undefined;
  readonly #ownPorts: readonly number[];

  private constructor(
    version: number,
    config: Config,
    ownPorts: readonly number[],
    files: { upstreams: readonly Upstream[]; extraCa: string | undefined },
  ) {
    this.version = version;
    this.config = config;
    this.#ownPorts = ownPorts;
    this.upstreams = files.upstreams;
    this.extraCa = files.extraCa;
  }

  /** @throws CONFIG_INVALID for a file that cannot be read and for a rule that is wrong */
  static async load(version: number, config: Config, ownPorts: readonly number[]): Promise<EgressGeneration> {
    const { egress } = config;
    const extraCa = egress.caFile === undefined ? undefined : await loadCaFile("egress.ca_file", egress.caFile);
    const upstreams = await Promise.all(
      egress.upstreams.map(async ({ host, url, caFile }, at): Promise<Upstream> => {
        const ca = caFile === undefined ? {} : { ca: await loadCaFile(`egress.upstreams[${at}].ca_file`, caFile) };
        return { host, url: new URL(url), ...ca };
      }),
    );
    const generation = new EgressGeneration(version, config, ownPorts, { upstreams, extraCa });
    // a rule that is wrong shows now, not at the first sandbox
    generation.policyFor({ profile: config.sandbox.profile, allow: [], secrets: [] });
    return generation;
  }

  /** @throws VALIDATION, POLICY_DENIED for what the caller asked for and the operator does not permit */
  policyFor(subject: PolicySubject): Policy {
    return compilePolicy(
      policyInputFor({
        ref: { id: subject.profile, name: this.config.file ?? "defaults", version: this.version },
        egress: this.config.egress,
        profile: PROFILES[subject.profile],
        allow: subject.allow,
        secrets: subject.secrets.map(({ name, host, isDefault }) => ({ name, host, origin: isDefault === true ? "operator" : "caller" })),
        ownAddresses: ownAddresses(),
        ownPorts: this.#ownPorts,
      }),
    );
  }
}

function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address.replace(/%.*$/, "")));
}
