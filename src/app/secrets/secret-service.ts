import { timestamp } from "../../base/clock.ts";
import { AppError } from "../../base/error.ts";
import { Secret } from "../../base/secret.ts";
import type { NewEvent } from "../../schema/event.ts";
import type { Caller, SecretService } from "../facade.ts";
import type { SandboxSecrets } from "./sandbox-secrets.ts";

export function createSecretService(options: {
  readonly secrets: SandboxSecrets;
  readonly report: (event: NewEvent) => Promise<unknown>;
  /** running sandboxes take over what changed */
  readonly changed: () => Promise<void>;
}): SecretService {
  const { secrets, report } = options;
  const change = (caller: Caller, name: string, operation: "create" | "update" | "delete"): Promise<unknown> =>
    report({
      type: "admin.change",
      outcome: "permit",
      actor: caller.actor,
      ...(caller.requestId === undefined ? {} : { request_id: caller.requestId }),
      resource_type: "secret",
      resource_id: name,
      operation,
    });
  return {
    async list() {
      return (await secrets.vault())
        .list()
        .map(({ name, createdAt, updatedAt }) => ({ name, created_at: timestamp(createdAt), updated_at: timestamp(updatedAt) }));
    },
    async set(caller, name, value) {
      if (name.includes("."))
        throw new AppError("VALIDATION", `${JSON.stringify(name.slice(0, 140))} is not a name for a secret`, {
          hint: "letters, digits, underscores and hyphens",
        });
      const vault = await secrets.vault();
      const isNew = vault.list().every((entry) => entry.name !== name);
      await change(caller, name, isNew ? "create" : "update");
      vault.set(name, new Secret(value));
      await options.changed();
    },
    async remove(caller, name) {
      const vault = await secrets.vault();
      if (vault.list().every((entry) => entry.name !== name))
        throw new AppError("NOT_FOUND", `there is no secret ${name}`, { hint: "agentkernel secret ls shows those that are kept" });
      await change(caller, name, "delete");
      vault.remove(name);
      await options.changed();
    },
  };
}
