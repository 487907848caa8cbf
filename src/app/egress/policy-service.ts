import { AppError, messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { parseHost, type CanonicalHost } from "../../policy/host.ts";
import { checkAddedRule, operatorRules } from "../../policy/policy-input.ts";
import type { RuleInput } from "../../policy/policy.ts";
import type { SandboxManager } from "../../sandbox/manager.ts";
import type { SandboxRecord, SandboxRepository } from "../../sandbox/record.ts";
import { PROFILES, profileNamed } from "../../schema/profile.ts";
import type { PolicyChange, PolicyReport, PolicyRule } from "../../schema/api.ts";
import type { NewEvent } from "../../schema/event.ts";
import type { EgressRuleSettings } from "../../schema/settings.ts";
import { addedRule, type EgressGeneration } from "./egress-policy.ts";
import type { Caller, PolicyService } from "../facade.ts";
import type { PolicyGenerations, RuleChange } from "./policy-generations.ts";

export type PolicyServiceOptions = {
  readonly manager: SandboxManager;
  readonly repository: SandboxRepository;
  readonly generations: PolicyGenerations;
  readonly report: (event: NewEvent) => Promise<unknown>;
  readonly log: Log;
};

type Rules = PolicyChange["rules"];

export function createPolicyService(options: PolicyServiceOptions): PolicyService {
  const { manager, repository, generations, log } = options;

  const record = (
    caller: Caller,
    change: { readonly operation: "reload" | "update"; readonly version: number; readonly reason?: string },
  ) =>
    options.report({
      type: "admin.change",
      outcome: "permit",
      actor: caller.actor,
      ...(caller.requestId === undefined ? {} : { request_id: caller.requestId }),
      resource_type: "policy",
      resource_id: change.operation === "reload" ? (generations.current.config.file ?? "defaults") : "api",
      operation: change.operation,
      ...(change.reason === undefined ? {} : { reason: change.reason.slice(0, 1_000) }),
      policy: { id: "generation", version: change.version },
    });

  const get = (): PolicyReport => reportOf(generations.current, repository);

  return {
    async check({ url, sandbox, profile }) {
      if (sandbox !== undefined && profile !== undefined)
        throw new AppError("VALIDATION", "give a sandbox or a profile, not both", { hint: "a sandbox has its own profile" });
      const target = URL.parse(url);
      if (target === null || !/^https?:$/.test(target.protocol))
        throw new AppError("VALIDATION", `${url} is not an http or https URL`, { hint: "write https://host/path" });
      const host = parseHost(target.hostname.replace(/^\[|\]$/g, ""));
      if (host.kind === "invalid") throw new AppError("VALIDATION", `the host of ${url} ${host.reason}`);
      const generation = generations.current;
      const subject =
        sandbox === undefined
          ? { profile: profileNamed(profile ?? generation.config.sandbox.profile), allow: [], secrets: [] }
          : manager.find(sandbox);
      const scheme = target.protocol === "https:" ? "https" : "http";
      const port = target.port === "" ? (scheme === "https" ? 443 : 80) : Number(target.port);
      const rules = generation.policyFor(subject, { isLive: true });
      const asked = rules.decide({ host, port, scheme, method: "GET", path: target.pathname });
      // a rule opens no address that sandboxes may not reach; of a name that is known only when it is resolved
      const address = host.kind === "name" ? (isLocalName(host) ? "127.0.0.1" : undefined) : host.text;
      const trusted = generation.upstreams.some((upstream) => upstream.host === host.text);
      const dialled = asked.verdict === "deny" || address === undefined ? asked : rules.decideAddress(host, address, { port, trusted });
      const { verdict, rule, reason, hint, policy } = dialled.verdict === "deny" ? dialled : asked;
      return { url, verdict, rule, reason, ...(hint === undefined ? {} : { hint }), policy: { ...policy } };
    },
    get: async () => get(),
    async put(caller, change) {
      refuseChangedSettings(generations.current, change);
      const { next, summary } = changeOf(generations.current, change.rules, repository);
      await generations.change(change.generation, next, (version) => record(caller, { operation: "update", version, reason: summary }));
      return get();
    },
    async reload(caller) {
      const config = {
        type: "admin.change",
        actor: caller.actor,
        ...(caller.requestId === undefined ? {} : { request_id: caller.requestId }),
        resource_type: "config",
        resource_id: generations.current.config.file ?? "defaults",
        operation: "reload",
      } as const;
      try {
        const { needRestart } = await generations.reload(async ({ version, changed, needRestart: later }) => {
          const reason = `${changed.length === 0 ? "nothing changed" : `changed: ${changed.join(", ")}`}${later.length === 0 ? "" : `; after a restart only: ${later.join(", ")}`}`;
          await options.report({ ...config, outcome: "permit", reason: reason.slice(0, 1_000) });
          return record(caller, { operation: "reload", version });
        });
        if (needRestart.length > 0) log.warn("some settings changed that hold after a restart only", { settings: needRestart.join(", ") });
      } catch (error) {
        await options.report({
          ...config,
          outcome: "error",
          reason: `the old generation holds: ${messageOf(error)}`.slice(0, 1_000),
          policy: { id: "generation", version: generations.current.version },
        });
        throw error;
      }
    },
  };
}

/** RFC 6761, section 6.3: this machine, whatever a resolver says. */
function isLocalName(host: CanonicalHost): boolean {
  return host.text === "localhost" || host.text.endsWith(".localhost");
}

function reportOf(generation: EgressGeneration, repository: SandboxRepository): PolicyReport {
  const { egress, file } = generation.config;
  const running = repository.list().filter(({ state }) => state === "running");
  return {
    generation: generation.version,
    file,
    default: egress.default,
    mode: egress.mode,
    locked: egress.locked,
    rules: rulesOf(generation, repository),
    sandboxes: running.flatMap(({ name, policy }) =>
      policy === undefined ? [] : [{ name, generation: policy.generation, restart_for_ports: [...policy.restartForPorts] }],
    ),
  };
}

function rulesOf(generation: EgressGeneration, repository: SandboxRepository): PolicyRule[] {
  const file = operatorRules(generation.config.egress).map((rule) => ({ ...fieldsOf(rule), id: rule.id, source: "file" as const }));
  const added = generation.added.flatMap((one): PolicyRule[] => {
    const name = one.sandboxUuid === null ? undefined : repository.byUuid(one.sandboxUuid)?.name;
    // its sandbox is just being removed
    if (one.sandboxUuid !== null && name === undefined) return [];
    return [{ ...fieldsOf(one.rule), id: addedRule(one).id, source: "api", ...(name === undefined ? {} : { sandbox: name }) }];
  });
  return [...file, ...added];
}

function fieldsOf({ host, ports, methods, paths, effect }: EgressRuleSettings) {
  return {
    host,
    ...(ports === undefined ? {} : { ports: [...ports] }),
    ...(methods === undefined ? {} : { methods: [...methods] }),
    ...(paths === undefined ? {} : { paths: [...paths] }),
    effect,
  };
}

/** What is the file's is changed in the file. */
function refuseChangedSettings(generation: EgressGeneration, change: PolicyChange): void {
  const { egress, file } = generation.config;
  if (change.file !== undefined && change.file !== file) throw readOnly(generation, "file");
  for (const key of ["default", "mode", "locked"] as const) {
    if (change[key] !== undefined && change[key] !== egress[key]) throw readOnly(generation, `egress.${key}`);
  }
}

function readOnly(generation: EgressGeneration, what: string): AppError {
  const file = generation.config.file ?? "the configuration file, which does not exist yet";
  return new AppError("CONFLICT", `${what} belongs to ${file} and cannot be changed over the API`, {
    hint: "change it there; agentkernel serve reads it again on SIGHUP",
  });
}

/** From the rules that are wanted to what is kept and what is new, checked against what the operator permits. */
function changeOf(generation: EgressGeneration, wanted: Rules, repository: SandboxRepository): { next: RuleChange; summary: string } {
  const file = new Map(operatorRules(generation.config.egress).map((rule) => [rule.id, same(rule, null)]));
  const known = new Map(generation.added.map((rule) => [addedRule(rule).id, rule]));
  const keep: number[] = [];
  const add: { readonly sandboxUuid: string | null; readonly rule: EgressRuleSettings }[] = [];
  for (const { id, source, sandbox, ...fields } of wanted) {
    const rule = fieldsOf(fields as EgressRuleSettings);
    if (source === "file" || id?.startsWith("egress.rules[") === true) {
      if (sandbox !== undefined || file.get(id ?? "") !== same(rule, null)) throw readOnly(generation, id ?? "a rule with source file");
      continue;
    }
    const sandboxUuid = sandbox === undefined ? null : sandboxFor(repository, sandbox).uuid;
    const before = id === undefined ? undefined : known.get(id);
    if (before !== undefined && same(before.rule, before.sandboxUuid) === same(rule, sandboxUuid)) {
      keep.push(before.id);
      continue;
    }
    checkAddedRule(generation.config.egress, namedForPeople(rule, sandbox));
    add.push({ sandboxUuid, rule });
  }
  const removed = generation.added.filter(({ id }) => !keep.includes(id));
  const summary = [
    ...add.map(({ rule }) => `${rule.effect} ${rule.host}`),
    ...removed.map((rule) => `without ${addedRule(rule).id} (${rule.rule.effect} ${rule.rule.host})`),
  ];
  return { next: { keep, add }, summary: summary.join(", ") };
}

function namedForPeople(rule: EgressRuleSettings, sandbox: string | undefined): RuleInput {
  return { ...rule, id: sandbox === undefined ? "the rule" : `the rule for ${sandbox}`, origin: "api" };
}

function sandboxFor(repository: SandboxRepository, name: string): SandboxRecord {
  const record = repository.byName(name);
  if (record === undefined)
    throw new AppError("NOT_FOUND", `there is no sandbox ${name}`, { hint: "agentkernel ls shows those that exist" });
  // a rule that could have no effect is refused, not ignored
  if (PROFILES[record.profile].network === "none")
    throw new AppError("VALIDATION", `the sandbox ${name} has no network: its profile is ${record.profile}`);
  return record;
}

function same({ host, ports, methods, paths, effect }: EgressRuleSettings, sandboxUuid: string | null): string {
  return JSON.stringify([host, ports ?? null, methods ?? null, paths ?? null, effect, sandboxUuid]);
}
