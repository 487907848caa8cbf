import type { AuditLogEvent, AuthEvent, ChangeEvent } from "../../schema/event.ts";
import { callerEndpoint, serviceOf, userOf } from "./common-parts.ts";
import { controlOf, policyOf } from "./control.ts";
import type { Mapped } from "./mapped.ts";
import type { OcsfContext } from "./ocsf-event.ts";
import { compact } from "./value.ts";

const AUTH_PROTOCOL: Readonly<Record<AuthEvent["method"], string>> = {
  unix_socket: "Unix Socket Peer",
  loopback_uid: "Loopback UID",
  api_key: "API Key",
  token: "Bearer Token",
};

export function mapAuth(event: AuthEvent, context: OcsfContext): Mapped {
  const { method, path, reason, count } = event;
  const isToken = method === "api_key" || method === "token";
  const isSocket = method === "unix_socket" || method === "loopback_uid";
  const isLocal = isSocket || isLoopback(event.actor.ip_address);
  return {
    message: `${AUTH_PROTOCOL[method]} ${event.outcome === "permit" ? "accepted" : "rejected"}${reason === undefined ? "" : `: ${reason}`}`,
    detail: reason,
    attributes: compact({
      count,
      user: userOf(event.actor),
      service: serviceOf(context.product),
      src_endpoint: callerEndpoint(event, context),
      auth_protocol_id: 99,
      auth_protocol: AUTH_PROTOCOL[method],
      authentication_token: isToken ? { type_id: 7 } : undefined,
      logon_type_id: isSocket ? undefined : 3,
      is_remote: !isLocal,
      http_request: { url: { path } },
      ...controlOf(event),
    }),
    unmapped: { method },
  };
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127."));
}

/** `managed_entity.type_id` */
const ENTITY_POLICY = 5;
const ENTITY_OTHER = 99;

export function mapChange(event: ChangeEvent): Mapped {
  const { resource_type, resource_id, operation, reason, policy } = event;
  return {
    message: `${resource_type} ${resource_id}: ${operation}`,
    detail: reason,
    attributes: compact({
      entity: compact({
        uid: resource_id,
        name: resource_id,
        ...(resource_type === "policy" ? { type_id: ENTITY_POLICY } : { type_id: ENTITY_OTHER, type: resource_type }),
        policy: policy === undefined ? undefined : policyOf(policy),
      }),
      comment: reason,
      ...controlOf(event, { policy }),
    }),
    unmapped: { resource_type, operation },
  };
}

/** Log type "Application" */
const LOG_TYPE = 2;
const REGULAR_FILE = 1;

export function mapAuditLog(event: AuditLogEvent, context: OcsfContext): Mapped {
  const { operation, segment, first_seq, last_seq, bytes, reason } = event;
  return {
    message: `audit log: ${operation}${segment === undefined ? "" : ` ${segment}`}`,
    detail: reason,
    attributes: compact({
      log_name: "audit",
      log_provider: context.product.name,
      log_type_id: LOG_TYPE,
      file: segment === undefined ? undefined : compact({ name: segment, type_id: REGULAR_FILE, size: bytes }),
      ...controlOf(event),
    }),
    unmapped: { operation, first_seq, last_seq, bytes: segment === undefined ? bytes : undefined },
  };
}
