/**
 * agentkernel as a library: create an app from a configuration and run sandboxes in your own process, use the pure parts, or talk
 * to a server. Everything exported is listed here by hand.
 */

// an app in this process
export { type AppConfig, type AppOptions, createApp, type OwnedApp } from "./app/create-app.ts";
export type {
  App,
  Caller,
  EventService,
  PolicyService,
  RunningExec,
  RunningSandboxExec,
  SandboxService,
  SecretService,
  UsageService,
  WorkspaceOutcome,
} from "./app/facade.ts";
export { environmentFrom, type HostEnvironment, hostEnvironment } from "./config/env.ts";
export type { LoadedConfig } from "./config/config-from.ts";
export { loadConfig } from "./config/load.ts";
export { type StatePaths, statePaths } from "./config/paths.ts";
export { prepareState } from "./config/prepare-state.ts";
export type { Config } from "./schema/settings.ts";

// pure parts
export { AppError, type ErrorCode, ERRORS } from "./base/error.ts";
export { Secret } from "./base/secret.ts";
export { compilePolicy } from "./policy/compile.ts";
export type { Decision } from "./policy/decision.ts";
export { type CanonicalHost, parseHost } from "./policy/host.ts";
export type { Policy, PolicyInput, PolicyRequest, RuleInput } from "./policy/policy.ts";
export type { ProviderTable } from "./providers/recognize.ts";
export { createRequestReader } from "./providers/request-reader.ts";
export { createResponseTap } from "./providers/response-tap.ts";
export { createProviderTable } from "./providers/table.ts";
export type { Recognition, RequestFacts, ResponseFacts } from "./providers/types.ts";
export type { CostOfCall } from "./usage/cost.ts";
export { addCall, emptyEntry, foldCalls } from "./usage/entry.ts";
export { createCostOf } from "./usage/genai-prices.ts";
export type { Usage } from "./schema/usage.ts";

// events and the audit log
export { openEventLog } from "./events/open-log.ts";
export { tailEvents } from "./events/tail.ts";
export { verifyEventLog } from "./events/verify-log.ts";
export type { Event, EventType, ExchangeEvent, LlmEvent, NewEvent } from "./schema/event.ts";

// a client of a server
export { type Client, createClient } from "./client/client.ts";
export type { CreateSandboxRequest, RunOutput, RunRequest, SandboxInfo, UsageEntry } from "./schema/api.ts";
