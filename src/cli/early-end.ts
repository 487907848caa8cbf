/**
 * What ended a command that did not end by itself, as a line for people; undefined where it did, and where they ended it themselves.
 *
 * @param timeout as it was asked for
 */
export function earlyEnd(reason: string | undefined, timeout: string | undefined): string | undefined {
  switch (reason) {
    case undefined:
    case "cancelled":
      return undefined;
    case "timeout":
      return `agentkernel: the command was ended after ${timeout ?? "its sandbox's time"}`;
    case "memory":
      return "agentkernel: the sandbox was ended because it exceeded its memory limit";
    case "stopped":
      return "agentkernel: the sandbox was stopped";
    default:
      return "agentkernel: the sandbox ended while the command ran";
  }
}
