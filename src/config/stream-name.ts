import { createHash } from "node:crypto";
import type { StreamDestination } from "../schema/audit-stream.ts";
import type { StreamSettings } from "../schema/settings.ts";

/** A stream's name; where it was given none, its type and eight digits of where it leads, so that moving it in the file changes nothing. */
export function streamName({ name, destination }: Pick<StreamSettings, "name" | "destination">): string {
  if (name !== undefined) return name;
  const place = placeOf(destination);
  if (place === "") return destination.type;
  return `${destination.type}-${createHash("sha256").update(place).digest("hex").slice(0, 8)}`;
}

/** Where a destination leads, without secrets; empty for this process's own stdout. */
export function placeOf(destination: StreamDestination): string {
  switch (destination.type) {
    case "http_webhook":
    case "otlp":
    case "datadog":
      return destination.url;
    case "splunk":
      return `${destination.url} ${destination.index ?? ""}`;
    case "elastic":
      return `${destination.url} ${destination.index}`;
    case "file":
      return destination.path;
    case "syslog":
      return `${destination.host}:${destination.port}`;
    case "stdout":
      return "";
    default:
      return destination satisfies never;
  }
}
