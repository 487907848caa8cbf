import type { Route } from "../route.ts";
import { auditRoutes } from "./audit.ts";
import { budgetRoutes } from "./budgets.ts";
import { hookRoutes } from "./hooks.ts";
import { eventRoutes } from "./events.ts";
import { execRoutes } from "./exec.ts";
import { llmCatalogRoutes } from "./llm-catalog.ts";
import { llmKeyRoutes } from "./llm-keys.ts";
import { policyRoutes } from "./policy.ts";
import { runRoutes } from "./run.ts";
import { sandboxRoutes } from "./sandboxes.ts";
import { secretRoutes } from "./secrets.ts";
import { systemRoutes } from "./system.ts";
import { usageRoutes } from "./usage.ts";

/** Every route of this version, in the order of the reference. */
export const ROUTES: readonly Route[] = [
  ...systemRoutes,
  ...runRoutes,
  ...sandboxRoutes,
  ...execRoutes,
  ...usageRoutes,
  ...budgetRoutes,
  ...llmCatalogRoutes,
  ...llmKeyRoutes,
  ...eventRoutes,
  ...auditRoutes,
  ...hookRoutes,
  ...secretRoutes,
  ...policyRoutes,
];
