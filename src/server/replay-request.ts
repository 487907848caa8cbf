import { timestamp } from "../base/clock.ts";
import { parseSince } from "../base/duration.ts";
import { AppError } from "../base/error.ts";
import type { DeliveryControl } from "../app/facade.ts";

type DeliveryRequest = Parameters<DeliveryControl["request"]>[2];

type Asked = { readonly since?: string | undefined; readonly dead?: boolean | undefined; readonly purge?: boolean | undefined };

/** What is to be delivered again. @throws VALIDATION */
export function replayRequest({ since, dead = false, purge = false }: Asked, nowMs: number): DeliveryRequest {
  if ([since !== undefined, dead, purge].filter(Boolean).length > 1)
    throw new AppError("VALIDATION", "since, dead and purge exclude each other", { hint: "ask for one after the other" });
  if (since !== undefined) return { kind: "replay", sinceMs: parseSince(since, nowMs) };
  return { kind: dead ? "replay_dead" : purge ? "purge_dead" : "resume" };
}

/** It is done by whichever process delivers, so the answer says what will be. */
export function replayAnswer(name: string, request: DeliveryRequest): string {
  switch (request.kind) {
    case "resume":
      return `${name}: tried again at once`;
    case "replay":
      return `${name}: everything since ${timestamp(request.sinceMs)} will be sent again`;
    case "replay_dead":
      return `${name}: the dead letters will be sent again`;
    case "purge_dead":
      return `${name}: the dead letters will be removed`;
    default:
      return request satisfies never;
  }
}
