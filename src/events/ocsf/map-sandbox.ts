import type { ExecEvent, PoolEvent, SandboxEvent, WorkspaceEvent } from "../../schema/event.ts";
import { callerEndpoint, productOf, sandboxResource, serviceOf } from "./common-parts.ts";
import { controlOf } from "./control.ts";
import type { Mapped } from "./mapped.ts";
import type { Attributes, OcsfContext } from "./ocsf-event.ts";
import { commandLine, compact, timeOf } from "./value.ts";

export function mapSandbox(event: SandboxEvent, context: OcsfContext): Mapped {
  const { operation, backend, profile, image, reason, error_code } = event;
  const name = event.sandbox ?? event.sandbox_uuid ?? "unknown";
  const about =
    event.actor.kind === "system"
      ? { app: { ...productOf(context.product), uid: event.sandbox_uuid ?? name, name, feature: { name: "sandbox" } } }
      : { ...apiCall(event, context, `sandbox.${operation}`), resources: [sandboxResource(event, { backend, profile, image })] };
  return {
    message: `sandbox ${name}: ${operation}${reason === undefined ? "" : `, ${reason}`}`,
    detail: reason,
    code: error_code,
    durationMs: event.duration_ms,
    attributes: { ...about, ...controlOf(event) },
    unmapped: { operation, profile },
  };
}

export function mapPool(event: PoolEvent, context: OcsfContext): Mapped {
  const { pool, operation, reason } = event;
  const about =
    event.actor.kind === "system"
      ? { app: { ...productOf(context.product), uid: pool, name: pool, feature: { name: "pool" } } }
      : { ...apiCall(event, context, `pool.${operation}`), resources: [{ uid: pool, name: pool, type: "pool", role_id: 1 }] };
  return {
    message: `pool ${pool}: ${operation}${reason === undefined ? "" : `, ${reason}`}`,
    detail: reason,
    attributes: { ...about, ...controlOf(event) },
    unmapped: { operation, pool },
  };
}

export function mapExec(event: ExecEvent): Mapped {
  const { operation, exec_id, command, cwd, tty, exit_code, signal, reason } = event;
  const isLaunch = operation === "launch";
  const at = timeOf(event.timestamp);
  const line = commandLine(command);
  return {
    message: `exec ${isLaunch ? "launched" : "ended"}: ${line.slice(0, 256)}`,
    detail: reason,
    code: event.error_code,
    durationMs: event.duration_ms,
    attributes: {
      process: compact({
        uid: exec_id,
        name: command[0]?.split("/").at(-1) ?? "",
        cmd_line: line,
        working_directory: cwd,
        sandbox: event.sandbox,
        ...(isLaunch ? { created_time: at } : { terminated_time: at }),
      }),
      ...(isLaunch ? { launch_type_id: 1 } : compact({ exit_code })),
      ...controlOf(event),
    },
    unmapped: { exec_id, tty, signal },
  };
}

export function mapWorkspace(event: WorkspaceEvent): Mapped {
  const { operation, path, created, modified, deleted, sensitive, reason } = event;
  return {
    message: `workspace ${path}: ${operation}, ${created} created, ${modified} modified, ${deleted} deleted`,
    detail: reason,
    attributes: { file: { name: path.split("/").at(-1) || path, path, type_id: 2 }, ...controlOf(event) },
    unmapped: { created, modified, deleted, sensitive: sensitive.length === 0 ? undefined : sensitive },
  };
}

/** What API Activity demands: who called what, from where. */
function apiCall(event: SandboxEvent | PoolEvent, context: OcsfContext, operation: string): Attributes {
  const error = event.type === "sandbox.operation" ? event.error_code : undefined;
  return {
    api: compact({
      operation,
      service: serviceOf(context.product),
      request: event.request_id === undefined ? undefined : { uid: event.request_id },
      response: error === undefined ? undefined : compact({ error, error_message: event.reason }),
    }),
    src_endpoint: callerEndpoint(event, context),
  };
}
