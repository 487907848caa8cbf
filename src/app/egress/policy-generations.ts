import { AppError, messageOf } from "../../base/error.ts";
import { KeyedMutex } from "../../base/keyed-mutex.ts";
import type { Log } from "../../base/log.ts";
import type { GatewaySecret } from "../../egress/gateway.ts";
import type { Config, EgressRuleSettings } from "../../schema/settings.ts";
import type { AddedRule } from "./egress-policy.ts";
import { changedSettings, needingRestart } from "../audit/changed-settings.ts";
import { EgressGeneration } from "./egress-policy.ts";

/** Where rules made while running are kept; the store implements it. */
export interface AddedRules {
  readonly revision: number;
  list(): readonly AddedRule[];
  replace(revision: number, next: RuleChange, nowMs: number): void;
  generationOf(fingerprint: string): number;
}

export type RuleChange = {
  readonly keep: readonly number[];
  readonly add: readonly { readonly sandboxUuid: string | null; readonly rule: EgressRuleSettings }[];
};

export type PolicyGenerationsOptions = {
  readonly rules: AddedRules;
  readonly ownPorts: readonly number[];
  /** reads the configuration again; absent: it cannot be read again */
  readonly readConfig?: () => Promise<Config>;
  /** makes every running sandbox's policy; what it returns puts them into force */
  readonly prepare: (generation: EgressGeneration) => () => void;
  /** the organisation's keys under a configuration, with their values of now; absent: there are none */
  readonly orgKeys?: (config: Config) => Promise<readonly GatewaySecret[]>;
  readonly now: () => number;
  readonly log: Log;
};

/** Recorded before a change takes effect; a change that cannot be recorded does not happen. */
type Announce = (version: number) => Promise<unknown>;
/** the same for a file that was read again */
type AnnounceReload = (reloaded: {
  readonly version: number;
  /** settings whose value is another */
  readonly changed: readonly string[];
  /** those of them that are read once, when the process starts */
  readonly needRestart: readonly string[];
}) => Promise<unknown>;

/**
 * The policy in force, and the one way to another: a reloaded file, a change over the API and a change made by another process are
 * read, checked and prepared whole before anything of them holds. Whatever fails on that way leaves what was there.
 */
export class PolicyGenerations {
  readonly #options: PolicyGenerationsOptions;
  readonly #turns = new KeyedMutex();
  #current: EgressGeneration;
  #revision: number;

  private constructor(options: PolicyGenerationsOptions, first: EgressGeneration, revision: number) {
    this.#options = options;
    this.#current = first;
    this.#revision = revision;
  }

  /** @throws CONFIG_INVALID */
  static async open(config: Config, options: PolicyGenerationsOptions): Promise<PolicyGenerations> {
    const { rules, ownPorts } = options;
    const { revision } = rules;
    const orgKeys = (await options.orgKeys?.(config)) ?? [];
    const parts = { config, added: rules.list(), ownPorts, orgKeys };
    return new PolicyGenerations(options, await EgressGeneration.load(parts, (print) => rules.generationOf(print)), revision);
  }

  get current(): EgressGeneration {
    return this.#current;
  }

  /** Reads the file again. @throws AppError; the old generation then holds */
  reload(announce: AnnounceReload): Promise<{ readonly generation: EgressGeneration; readonly needRestart: readonly string[] }> {
    return this.#turns.run("", async () => {
      const before = this.#current.config;
      const config = (await this.#options.readConfig?.()) ?? before;
      const made = await this.#make(config);
      const needRestart = needingRestart(before, config);
      await announce({ version: made.generation.version, changed: changedSettings(before, config), needRestart });
      this.#enforce(made);
      return { generation: made.generation, needRestart };
    });
  }

  /** Changes the rules made while running. @throws CONFLICT when the policy is not `expected` any more, AppError for wrong ones */
  change(expected: number | undefined, change: RuleChange, announce: Announce): Promise<EgressGeneration> {
    return this.#turns.run("", async () => {
      const { rules, now } = this.#options;
      const { revision } = rules;
      if (revision !== this.#revision) await this.#follow();
      if (expected !== undefined && expected !== this.#current.version) {
        throw new AppError("CONFLICT", `the policy is of generation ${this.#current.version} by now`, {
          hint: "read it again, and then change it",
        });
      }
      // tried whole before it is kept; the numbers of new rules come from the store
      const kept = rules.list().filter(({ id }) => change.keep.includes(id));
      await this.#make(this.#current.config, [...kept, ...change.add.map((rule, at) => ({ ...rule, id: -1 - at }))]);
      await announce(this.#current.version + 1);
      rules.replace(revision, change, now());
      const made = await this.#make(this.#current.config);
      this.#enforce(made);
      return made.generation;
    });
  }

  /** Reads the organisation's keys again: their names or their values changed. */
  refresh(): Promise<void> {
    return this.#turns.run("", async () => this.#enforce(await this.#make(this.#current.config)));
  }

  /** Takes over what another process changed. */
  async follow(): Promise<void> {
    if (this.#options.rules.revision !== this.#revision) await this.#turns.run("", () => this.#follow());
  }

  async #follow(): Promise<void> {
    const { rules, log } = this.#options;
    const { revision } = rules;
    if (revision === this.#revision) return;
    try {
      this.#enforce(await this.#make(this.#current.config));
    } catch (error) {
      log.error("the policy that another process made cannot hold here; what there was before holds", { error: messageOf(error) });
      this.#revision = revision;
    }
  }

  /** Checked and prepared for every running sandbox, and not in force yet. `trial`: rules that are not kept yet. */
  async #make(config: Config, trial?: readonly AddedRule[]): Promise<Made> {
    const { rules, ownPorts, prepare } = this.#options;
    const { revision } = rules;
    const orgKeys = (await this.#options.orgKeys?.(config)) ?? [];
    const parts = { config, added: trial ?? rules.list(), ownPorts, orgKeys };
    const generation = await EgressGeneration.load(parts, trial === undefined ? (print) => rules.generationOf(print) : () => 0);
    return { generation, revision, putIntoForce: prepare(generation) };
  }

  #enforce({ generation, revision, putIntoForce }: Made): void {
    this.#current = generation;
    this.#revision = revision;
    putIntoForce();
  }
}

type Made = { readonly generation: EgressGeneration; readonly revision: number; readonly putIntoForce: () => void };
