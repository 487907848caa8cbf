import { AppError } from "../base/error.ts";
import type { EgressAttachment, Gateway, SandboxEgress } from "../egress/gateway.ts";
import type { SandboxNetwork } from "../sandbox/backend.ts";
import { INSIDE, insideEnvironment } from "../sandbox/inside.ts";
import type { SandboxSurroundings } from "../sandbox/manager.ts";
import type { SandboxRecord } from "../sandbox/record.ts";
import { PROFILES } from "../schema/profile.ts";
import type { EgressGeneration } from "./egress-policy.ts";
import type { SandboxSecrets } from "./sandbox-secrets.ts";

export type EgressLinksOptions = {
  /** made at the first sandbox that has a network */
  readonly gateway: () => Promise<Gateway>;
  readonly generation: () => EgressGeneration;
  readonly secrets: SandboxSecrets;
  /** a variable of the host that a profile passes inside */
  readonly hostEnv: (name: string) => string | undefined;
  /** resolves when what the gateway reported is in the log and in the ledger */
  readonly settled: () => Promise<void>;
};

type Live = { readonly record: SandboxRecord; readonly attachment: EgressAttachment; readonly secrets: SandboxEgress["secrets"] };

/**
 * Where sandbox and gateway meet: one function makes a sandbox's policy, secrets and environment, and it is the same for create,
 * start and reload, so that no path can forget one of them.
 */
export class EgressLinks {
  readonly #options: EgressLinksOptions;
  readonly #live = new Map<string, Live>();

  constructor(options: EgressLinksOptions) {
    this.#options = options;
  }

  readonly surroundings = async (record: SandboxRecord): Promise<SandboxSurroundings> => {
    const profile = PROFILES[record.profile];
    const hasNetwork = profile.network !== "none";
    const secrets = hasNetwork ? await this.#options.secrets.materialise(record) : [];
    const env = insideEnvironment(record, {
      passed: this.#passed(profile.passEnv),
      placeholders: Object.fromEntries(secrets.map(({ name, placeholder }) => [name, placeholder])),
      hasNetwork,
    });
    if (!hasNetwork) return { network: { kind: "none" }, env, files: {}, link: () => undefined };
    const gateway = await this.#options.gateway();
    const egress = this.#applyPolicy(record, secrets);
    let attachment: EgressAttachment | undefined;
    const network: SandboxNetwork = {
      kind: "gateway",
      ports: [...new Set([53, ...egress.policy.ports])],
      attach: async (listeners) => {
        attachment = gateway.attach(egress, listeners);
        this.#live.set(record.uuid, { record, attachment, secrets });
      },
    };
    return {
      network,
      env,
      files: { [INSIDE.trustBundle]: gateway.trustBundlePem },
      link: () => (attachment === undefined ? undefined : this.#linkOf(record.uuid, attachment)),
    };
  };

  /** Gives every running sandbox the policy of the current generation. */
  reload(): void {
    for (const { record, attachment, secrets } of this.#live.values()) attachment.update(this.#applyPolicy(record, secrets));
  }

  /** The policy that a running sandbox is under. */
  policyOf(record: SandboxRecord): ReturnType<EgressGeneration["policyFor"]> {
    return this.#options.generation().policyFor(record);
  }

  #applyPolicy(record: SandboxRecord, secrets: SandboxEgress["secrets"]): SandboxEgress {
    return {
      uuid: record.uuid,
      name: record.name,
      labels: record.labels,
      policy: this.#options.generation().policyFor(record),
      secrets,
      upstreams: this.#options.generation().upstreams,
    };
  }

  #linkOf(uuid: string, attachment: EgressAttachment) {
    return {
      drain: async (deadlineMs: number) => {
        await attachment.drain(deadlineMs);
        await this.#options.settled();
      },
      [Symbol.asyncDispose]: async () => {
        if (this.#live.get(uuid)?.attachment === attachment) this.#live.delete(uuid);
        await attachment[Symbol.asyncDispose]();
      },
    };
  }

  #passed(names: readonly string[]): Readonly<Record<string, string>> {
    const passed: Record<string, string> = {};
    for (const name of names) {
      const value = this.#options.hostEnv(name);
      if (value?.includes("\0") === true) throw new AppError("VALIDATION", `the variable ${name} holds a NUL byte`);
      if (value !== undefined) passed[name] = value;
    }
    return passed;
  }
}
