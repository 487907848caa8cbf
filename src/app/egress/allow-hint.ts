import { isIP } from "node:net";
import { classifyAddress } from "../../policy/address.ts";
import { allowCommand } from "../../schema/allow-command.ts";
import { isDenied } from "../../events/tail.ts";
import type { Event } from "../../schema/event.ts";

/** Rules that another rule can overrule; whatever else denies is not for `policy allow` to open. */
const OVERRULED = /^(?:default|--allow|template|secret:.*)$/;
/** Rules that a command made, and a command removes. */
const REMOVABLE = /^api\.rules\[\d+\]$/;

/** The one command that allows from now on what an event says was denied; undefined where there is none. */
export function allowHint(event: Event): string | undefined {
  if (event.type !== "egress.exchange" && event.type !== "egress.decision") return undefined;
  if (event.host === undefined || !isDenied(event)) return undefined;
  if (REMOVABLE.test(event.rule)) return `agentkernel policy rm ${event.rule}`;
  if (!OVERRULED.test(event.rule)) return undefined;
  const { host, port } = event;
  // private ones may be opened by the configuration, the others by nothing
  if (isIP(host) !== 0 && !["public", "private", "cgnat"].includes(classifyAddress(host))) return undefined;
  const name = host.includes(":") ? `[${host}]` : host;
  const target = port === undefined || port === 80 || port === 443 ? name : `${name}:${port}`;
  const isEphemeral = event.sandbox === undefined || /^run-[0-9a-z]{14}$/i.test(event.sandbox);
  return allowCommand(target, isEphemeral ? undefined : event.sandbox);
}
