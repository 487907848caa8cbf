import { ignore } from "../../base/background.ts";
import { AppError } from "../../base/error.ts";
import type { EgressAttachment, SandboxEgress } from "../../egress/gateway.ts";
import type { SandboxNetwork } from "../../sandbox/backend.ts";
import { INSIDE, insideEnvironment } from "../../sandbox/inside.ts";
import type { SandboxSurroundings } from "../../sandbox/manager-options.ts";
import type { SandboxRecord } from "../../sandbox/record.ts";
import { PROFILES } from "../../schema/profile.ts";
import { type EgressGeneration, hostPortUpstreams } from "./egress-policy.ts";
import type { SandboxGateway } from "./lazy-gateway.ts";
import type { SandboxSecrets } from "../secrets/sandbox-secrets.ts";
import type { SandboxFiles, SecretFiles } from "../secrets/secret-files.ts";

export type EgressLinksOptions = {
  /** made at the first sandbox that has a network */
  readonly gateway: () => Promise<SandboxGateway>;
  readonly generation: () => EgressGeneration;
  readonly secrets: SandboxSecrets;
  readonly secretFiles: Pick<SecretFiles, "open">;
  /** a variable of the host that a profile passes inside */
  readonly hostEnv: (name: string) => string | undefined;
  /** resolves when what the gateway reported is in the log and in the ledger */
  readonly settled: () => Promise<void>;
  /** told under which generation a sandbox is from now on */
  readonly applied: (record: SandboxRecord, state: NonNullable<SandboxRecord["policy"]>) => void;
};

type Live = {
  readonly record: SandboxRecord;
  readonly attachment: EgressAttachment;
  secrets: SandboxEgress["secrets"];
  readonly files: SandboxFiles;
  /** ports that its listeners were opened for, once and for all */
  readonly ports: readonly number[];
};

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

  /** sandboxes with a way out */
  get count(): number {
    return this.#live.size;
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
    const files = await this.#options.secretFiles.open(record, () => this.#filesChanged(record.uuid));
    const egress = this.#egressOf({ record, secrets, files }, false);
    let attachment: EgressAttachment | undefined;
    const network: SandboxNetwork = {
      kind: "gateway",
      ports: [...new Set([53, ...egress.policy.ports])],
      attach: async (listeners) => {
        // what changed while the sandbox was being made holds from its first packet
        const current = this.#egressOf({ record, secrets, files }, true);
        attachment = gateway.attach(current, listeners);
        const live: Live = { record, attachment, secrets, files, ports: egress.policy.ports };
        this.#live.set(record.uuid, live);
        this.#applied(live, current);
      },
    };
    return {
      network,
      env,
      files: { [INSIDE.trustBundle]: gateway.trustBundlePem },
      homeFiles: files.shown,
      link: () => (attachment === undefined ? undefined : this.#linkOf(record.uuid, attachment, files)),
    };
  };

  /**
   * Makes the policy of every running sandbox under another generation, and gives it to them all when the returned function is
   * called; nothing has changed when this throws.
   * @throws AppError for a generation under which a running sandbox cannot have a policy
   */
  prepare(generation: EgressGeneration): () => void {
    const prepared = new Map([...this.#live.values()].map((live) => [live, this.#egressOf(live, true, generation)]));
    return () => {
      for (const live of this.#live.values()) {
        const egress = prepared.get(live) ?? this.#lateEgressOf(live, generation);
        if (egress === undefined) continue;
        // its secrets may have been rotated since
        const current = { ...egress, secrets: secretsOf(live) };
        live.attachment.update(current);
        this.#applied(live, current);
      }
    };
  }

  /** Of a sandbox that came since the others were prepared; one that cannot have a policy under this generation loses its way out. */
  #lateEgressOf(live: Live, generation: EgressGeneration): SandboxEgress | undefined {
    try {
      return this.#egressOf(live, true, generation);
    } catch {
      this.#live.delete(live.record.uuid);
      ignore(
        Promise.resolve(live.attachment[Symbol.asyncDispose]()),
        "it is closed either way, and the sandbox's end disposes of it again",
      );
      return undefined;
    }
  }

  /**
   * Gives every running sandbox the values of now. Placeholders stay, and so do connections. A sandbox whose values cannot be read
   * keeps those it has, and does not keep the others from theirs.
   * @throws what the first of them failed with, when all have had their turn
   */
  async refreshSecrets(): Promise<void> {
    const turns = await Promise.allSettled([...this.#live.values()].map((live) => this.#refresh(live)));
    const failed = turns.find((turn) => turn.status === "rejected");
    if (failed !== undefined) throw failed.reason as unknown;
  }

  async #refresh(live: Live): Promise<void> {
    if (live.secrets.length === 0) return;
    const before = live.secrets;
    const secrets = await this.#options.secrets.refresh(live.record, before);
    const isSame = secrets.every((secret, at) => {
      const held = before[at];
      return held?.value.reveal() === secret.value.reveal() && held.isRevoked === secret.isRevoked;
    });
    if (isSame || this.#live.get(live.record.uuid) !== live) return;
    live.secrets = secrets;
    live.attachment.update(this.#egressOf(live, true));
  }

  #filesChanged(uuid: string): void {
    const live = this.#live.get(uuid);
    live?.attachment.update(this.#egressOf(live, true));
  }

  #applied(live: Live, { policy }: SandboxEgress): void {
    const restartForPorts = policy.ports.filter((port) => !live.ports.includes(port));
    this.#options.applied(live.record, { generation: policy.ref.version, restartForPorts });
  }

  #egressOf(of: Pick<Live, "record" | "secrets" | "files">, isLive: boolean, generation = this.#options.generation()): SandboxEgress {
    const { record, files } = of;
    return {
      uuid: record.uuid,
      name: record.name,
      labels: record.labels,
      policy: generation.policyFor(record, { isLive }),
      secrets: secretsOf(of),
      tokenEndpoints: files.endpoints,
      orgKeys: generation.orgKeys,
      upstreams: [...hostPortUpstreams(record.hostPorts), ...generation.upstreams],
    };
  }

  #linkOf(uuid: string, attachment: EgressAttachment, files: Disposable) {
    return {
      drain: async (deadlineMs: number) => {
        await attachment.drain(deadlineMs);
        await this.#options.settled();
      },
      [Symbol.asyncDispose]: async () => {
        if (this.#live.get(uuid)?.attachment === attachment) this.#live.delete(uuid);
        files[Symbol.dispose]();
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

function secretsOf({ secrets, files }: Pick<Live, "secrets" | "files">): SandboxEgress["secrets"] {
  return [...secrets, ...files.secrets];
}
