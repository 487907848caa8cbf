import type { DecisionEvent, ExchangeEvent } from "../../schema/event.ts";
import { httpMethod } from "./classify.ts";
import { sandboxEndpoint } from "./common-parts.ts";
import { controlOf } from "./control.ts";
import type { Mapped } from "./mapped.ts";
import type { Attributes } from "./ocsf-event.ts";
import { compact, compactOrNone, hostAttributes, hostnameOf, ipOf, portOf, whole } from "./value.ts";

const NETWORK_PROFILES = ["network_proxy"] as const;
const GATEWAY = { name: "gateway", svc_name: "agentkernel-gateway" } as const;
/** `connection_info.boundary_id` of the address classes that have one */
const BOUNDARY: Readonly<Record<string, number>> = { loopback: 1, private: 2, "link-local": 2, cgnat: 2, public: 3 };
const HTTP_VERSION: Readonly<Record<ExchangeEvent["protocol"], string | undefined>> = { "http/1.1": "1.1", h2: "2", websocket: undefined };

export function mapExchange(event: ExchangeEvent): Mapped {
  const { method, url, host, port, status, rule, reason, policy, address, bytes_in, bytes_out } = event;
  const latency = whole(event.latency_ms);
  return {
    message: `egress ${event.decision === "deny" ? "denied" : event.outcome === "error" ? "failed" : "allowed"}: ${method} ${url.slice(0, 512)}`,
    detail: reason,
    code: status ?? event.error_code,
    durationMs: event.latency_ms,
    profiles: NETWORK_PROFILES,
    attributes: compact({
      src_endpoint: sandboxEndpoint(event),
      dst_endpoint: destinationOf(host, port, address),
      proxy_endpoint: GATEWAY,
      connection_info: connectionOf(event.address_class),
      app_protocol_name: event.protocol,
      http_request: compact({
        http_method: httpMethod(method) === undefined ? undefined : method,
        url: urlOf(url),
        version: HTTP_VERSION[event.protocol],
      }),
      http_response: status === null ? undefined : compact({ code: status, latency }),
      traffic: trafficOf(bytes_in, bytes_out),
      ...controlOf(event, { policy, rule, reason }),
    }),
    unmapped: {
      http_method: httpMethod(method) === undefined ? method : undefined,
      port: portOf(port) === undefined ? port : undefined,
      address: ipOf(address) === undefined ? address : undefined,
      address_class: event.address_class,
      inspected: event.inspected,
      secret_injected: event.secret_injected,
      end: event.end,
      error_code: event.error_code,
      provider: event.provider,
    },
  };
}

export function mapDecision(event: DecisionEvent): Mapped {
  const { protocol, host, port, address, rule, reason, policy, bytes_in, bytes_out } = event;
  const where = [host ?? address ?? "", port ?? ""].filter((part) => part !== "").join(":");
  const isDns = protocol === "dns";
  return {
    message: `${protocol} ${event.decision === "allow" ? "allowed" : "denied"}${where === "" ? "" : `: ${where}`}`,
    detail: reason,
    durationMs: event.duration_ms,
    profiles: NETWORK_PROFILES,
    attributes: compact({
      src_endpoint: sandboxEndpoint(event),
      dst_endpoint: isDns ? undefined : destinationOf(host, port, address),
      query: isDns && hostnameOf(host) !== undefined ? { hostname: host } : undefined,
      proxy_endpoint: GATEWAY,
      connection_info: connectionOf(undefined, isDns ? "udp" : "tcp"),
      app_protocol_name: protocol === "tcp" || protocol === "tunnel" ? undefined : protocol,
      count: event.count,
      traffic: bytes_in === undefined && bytes_out === undefined ? undefined : trafficOf(bytes_in, bytes_out),
      ...controlOf(event, { policy, rule, reason }),
    }),
    unmapped: {
      protocol,
      host: isDns && hostnameOf(host) === undefined ? host : undefined,
      address: isDns || ipOf(address) === undefined ? address : undefined,
      port: isDns || portOf(port) === undefined ? port : undefined,
    },
  };
}

/** The internet's side: the address that was dialled and the name that was asked for. */
export function destinationOf(host: string | undefined, port: number | undefined, address: string | undefined): Attributes {
  const named = compact({ ...(host === undefined ? {} : hostAttributes(host)) });
  const ip = ipOf(address);
  const known = ip === undefined ? named : { ...named, ip };
  return compact({ ...(Object.keys(known).length === 0 ? { name: address ?? "unknown" } : known), port: portOf(port) });
}

function connectionOf(addressClass: string | undefined, protocol: "tcp" | "udp" = "tcp"): Attributes {
  return compact({
    direction_id: 2,
    protocol_name: protocol,
    protocol_num: protocol === "tcp" ? 6 : 17,
    boundary_id: addressClass === undefined || !Object.hasOwn(BOUNDARY, addressClass) ? undefined : BOUNDARY[addressClass],
  });
}

function trafficOf(bytesIn: number | undefined, bytesOut: number | undefined): Attributes {
  return compact({ bytes_in: bytesIn, bytes_out: bytesOut, bytes: whole((bytesIn ?? 0) + (bytesOut ?? 0)) });
}

/** A URL in its parts, and as it was. */
export function urlOf(text: string): Attributes {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) return { url_string: text };
  return compact({
    scheme: url.protocol.slice(0, -1),
    hostname: hostnameOf(url.hostname),
    port: url.port === "" ? undefined : Number(url.port),
    path: url.pathname,
    query_string: url.search === "" ? undefined : url.search.slice(1),
    url_string: text,
  });
}

/** HTTP request and response of a call of which only the parts are known. */
export function httpOf(method: string, host: string, path: string, status: number | null): Attributes {
  return compact({
    http_request: compactOrNone({
      http_method: httpMethod(method) === undefined ? undefined : method,
      url: compact({ hostname: hostnameOf(host), path }),
    }),
    http_response: status === null ? undefined : { code: status },
  });
}
