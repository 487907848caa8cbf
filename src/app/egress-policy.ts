import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { AppError, messageOf } from "../base/error.ts";
import type { Upstream } from "../egress/gateway.ts";
import { parseAllow } from "../policy/allow.ts";
import { compilePolicy } from "../policy/compile.ts";
import type { Policy, RuleInput } from "../policy/policy.ts";
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

  /** @throws CONFIG_INVALID for a file that cannot be read and for a rule that is wrong */
  constructor(version: number, config: Config, ownPorts: readonly number[]) {
    this.version = version;
    this.config = config;
    this.#ownPorts = ownPorts;
    this.extraCa = config.egress.caFile === undefined ? undefined : readPem("[egress] ca_file", config.egress.caFile);
    this.upstreams = config.egress.upstreams.map(({ host, url, caFile }) => ({
      host,
      url: new URL(url),
      ...(caFile === undefined ? {} : { ca: readPem("[[egress.upstreams]] ca_file", caFile) }),
    }));
    // a rule that is wrong shows now, not at the first sandbox
    this.policyFor({ profile: config.sandbox.profile, allow: [], secrets: [] });
  }

  policyFor(subject: PolicySubject): Policy {
    const { egress } = this.config;
    const network = PROFILES[subject.profile].network;
    const operator = egress.rules.map((rule, i): RuleInput => ({ ...rule, id: `egress.rules[${i}]`, origin: "operator" }));
    const secrets = subject.secrets.map(({ name, host }): RuleInput => ({ id: `secret:${name}`, host, effect: "allow", origin: "caller" }));
    const allowed = subject.allow.map((text) => parseAllow(text, { id: `--allow ${text}`, origin: "caller" }));
    return compilePolicy({
      ref: { id: subject.profile, name: this.config.file ?? "defaults", version: this.version },
      default: network === "none" ? "none" : network === "public" || egress.default === "allow" ? "public" : "deny",
      mode: egress.mode,
      locked: egress.locked,
      rules: [...operator, ...secrets, ...allowed],
      ownAddresses: ownAddresses(),
      ownPorts: this.#ownPorts,
      unsafeAllowPrivate: egress.unsafeAllowPrivate,
    });
  }
}

function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address.replace(/%.*$/, "")));
}

function readPem(key: string, file: string): string {
  try {
    const pem = readFileSync(file, "utf8");
    if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
  } catch (error) {
    throw new AppError("CONFIG_INVALID", `${key} ${file} cannot be read: ${messageOf(error)}`, {
      cause: error,
      hint: "name a readable PEM file",
    });
  }
  throw new AppError("CONFIG_INVALID", `${key} ${file} holds no certificate`, { hint: "name a file with -----BEGIN CERTIFICATE-----" });
}
