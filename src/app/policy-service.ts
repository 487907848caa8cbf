import { AppError } from "../base/error.ts";
import { parseHost } from "../policy/host.ts";
import type { SandboxManager } from "../sandbox/manager.ts";
import type { NewEvent } from "../schema/event.ts";
import { profileName } from "../schema/api.ts";
import type { EgressGeneration } from "./egress-policy.ts";
import type { PolicyService } from "./facade.ts";

export function createPolicyService(options: {
  readonly manager: SandboxManager;
  readonly generation: () => EgressGeneration;
  /** reads the configuration again and applies it; keeps the old generation when it throws */
  readonly reload: () => Promise<EgressGeneration>;
  readonly report: (event: NewEvent) => Promise<unknown>;
}): PolicyService {
  return {
    async check({ url, sandbox, profile }) {
      const target = URL.parse(url);
      if (target === null || !/^https?:$/.test(target.protocol))
        throw new AppError("VALIDATION", `${url} is not an http or https URL`, { hint: "write https://host/path" });
      const host = parseHost(target.hostname);
      if (host.kind === "invalid") throw new AppError("VALIDATION", `the host of ${url} ${host.reason}`);
      const generation = options.generation();
      const subject =
        sandbox === undefined
          ? { profile: profileName.parse(profile ?? generation.config.sandbox.profile), allow: [], secrets: [] }
          : options.manager.find(sandbox);
      const scheme = target.protocol === "https:" ? "https" : "http";
      const decision = generation.policyFor(subject).decide({
        host,
        port: target.port === "" ? (scheme === "https" ? 443 : 80) : Number(target.port),
        scheme,
        method: "GET",
        path: target.pathname,
      });
      const { verdict, rule, reason, hint, policy } = decision;
      return { url, verdict, rule, reason, ...(hint === undefined ? {} : { hint }), policy: { ...policy } };
    },
    async reload(caller) {
      const next = await options.reload();
      await options.report({
        type: "admin.change",
        outcome: "permit",
        actor: caller.actor,
        resource_type: "policy",
        resource_id: next.config.file ?? "defaults",
        operation: "reload",
        policy: { id: "generation", version: next.version },
      });
    },
  };
}
