import type { Store } from "../../store/open-store.ts";
import type { SandboxRecord } from "../../sandbox/record.ts";
import type { NewEvent } from "../../schema/event.ts";
import type { UsageQuery, UsageService } from "../facade.ts";

/** What was booked, after everything that is still under way has been. */
export function createUsageService(options: {
  readonly store: Store<SandboxRecord>;
  readonly settled: () => Promise<void>;
  readonly report: (event: NewEvent) => Promise<unknown>;
  readonly now: () => number;
}): UsageService {
  const { store, settled } = options;
  const filterOf = ({ sandbox, sinceMs, all }: UsageQuery) => ({
    ...(sandbox === undefined ? {} : { sandbox }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(all === undefined ? {} : { all }),
  });
  return {
    async bySandbox(query) {
      await settled();
      return store.usage.bySandbox(filterOf(query));
    },
    async grouped(query) {
      await settled();
      return store.usage.grouped({ ...filterOf(query), by: query.by });
    },
    async clear(caller, sandbox) {
      await settled();
      await options.report({
        type: "admin.change",
        outcome: "permit",
        actor: caller.actor,
        ...(caller.requestId === undefined ? {} : { request_id: caller.requestId }),
        resource_type: "usage",
        resource_id: sandbox,
        operation: "delete",
      });
      store.ledger.clear(store.usage.uuidsOf(sandbox, { all: true }), options.now());
    },
    async events({ sandbox, sinceMs, limit }) {
      await settled();
      return store.usage.events({
        ...(sandbox === undefined ? {} : { sandbox }),
        ...(sinceMs === undefined ? {} : { sinceMs }),
        ...(limit === undefined ? {} : { limit }),
      });
    },
  };
}
