import type { Actor, Event } from "../../schema/event.ts";
import type { Attributes, OcsfContext, ProductInfo } from "./ocsf-event.ts";
import { compact, compactOrNone, emailOf, hostAttributes, labelsOf } from "./value.ts";

/** Objects that several classes share. Only ids are set; their captions come from the schema. */

/** `user.type_id` and, where OCSF has no word, the caption beside 99. */
const USER_TYPE: Readonly<Record<Actor["kind"], Attributes>> = {
  user: { type_id: 1 },
  api_key: { type_id: 4 },
  token: { type_id: 1 },
  system: { type_id: 3 },
  sandbox: { type_id: 99, type: "Sandbox" },
};
const DEVICE_UNKNOWN = 0;
const DEVICE_VIRTUAL = 6;

export function userOf(actor: Actor): Attributes {
  return compact({
    uid: actor.user_id,
    name: actor.user_id,
    ...USER_TYPE[actor.kind],
    email_addr: emailOf(actor.email),
    org: actor.org_id === undefined ? undefined : { uid: actor.org_id },
  });
}

export function actorOf(event: Event, product: ProductInfo): Attributes {
  return compact({ user: userOf(event.actor), app_name: event.actor.kind === "system" ? product.name : undefined });
}

/** What the actor says that `user` has no valid place for. */
export function actorLeftovers({ email, ip_address }: Actor, hasSource: boolean): Attributes {
  return compact({
    actor_email: email !== undefined && emailOf(email) === undefined ? email : undefined,
    actor_ip_address: hasSource ? undefined : ip_address,
  });
}

/** The host that agentkernel runs on, with the sandbox as a container on it. */
export function deviceOf(event: Event, context: OcsfContext): Attributes {
  return compact({ ...hostAttributes(context.hostname), type_id: DEVICE_UNKNOWN, container: containerOf(event) });
}

function containerOf(event: Event): Attributes | undefined {
  if (event.sandbox === undefined && event.sandbox_uuid === undefined) return undefined;
  const about = event.type === "sandbox.operation" ? { runtime: event.backend, image: imageOf(event.image) } : {};
  return compact({ uid: event.sandbox_uuid, name: event.sandbox, ...about, labels: labelsOf(event.labels) });
}

function imageOf(image: string | undefined): Attributes | undefined {
  return image === undefined ? undefined : { uid: image, name: image };
}

/** The sandbox as the source of traffic. */
export function sandboxEndpoint(event: Event): Attributes {
  return compact({ uid: event.sandbox_uuid, name: event.sandbox ?? event.actor.user_id, type_id: DEVICE_VIRTUAL });
}

/** Where a caller of our API is: its address, or this host when it came over a local socket. */
export function callerEndpoint(event: Event, context: OcsfContext): Attributes {
  if (event.actor.kind === "sandbox") return sandboxEndpoint(event);
  return hostAttributes(event.actor.ip_address ?? context.hostname);
}

export function serviceOf(product: ProductInfo): Attributes {
  return { name: `${product.name} API`, uid: product.name, version: product.version };
}

export function productOf(product: ProductInfo): Attributes {
  return { name: product.name, vendor_name: product.vendor, version: product.version };
}

/** The sandbox that an event is about, as the target of a call. */
export function sandboxResource(event: Event, data: Attributes): Attributes {
  return compact({
    uid: event.sandbox_uuid,
    name: event.sandbox ?? event.sandbox_uuid ?? "unknown",
    type: "sandbox",
    role_id: 1,
    labels: labelsOf(event.labels),
    data: compactOrNone(data),
  });
}
