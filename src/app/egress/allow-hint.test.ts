import { expect, it } from "vitest";
import type { Event } from "../../schema/event.ts";
import { allowHint } from "./allow-hint.ts";

const denied = (host: string, over: object = {}): Event =>
  ({ type: "egress.decision", decision: "deny", rule: "default", host, port: 443, sandbox: "web", ...over }) as unknown as Event;

it("names the one command that allows what was denied, and none where none does", () => {
  expect(allowHint(denied("example.com"))).toBe("agentkernel policy allow example.com --sandbox web");
  expect(allowHint(denied("example.com", { port: 8443 }))).toBe("agentkernel policy allow example.com:8443 --sandbox web");
  expect(allowHint(denied("example.com", { sandbox: "run-0000txfxxfwvjs" }))).toBe("agentkernel run --allow example.com …");
  expect(allowHint(denied("2606:4700::1111"))).toBe("agentkernel policy allow [2606:4700::1111] --sandbox web");
  expect(allowHint(denied("example.com", { rule: "api.rules[3]" }))).toBe("agentkernel policy rm api.rules[3]");
  for (const rule of ["egress.rules[0]", "egress.locked", "address", "identity", "hook:office", "budget:all", "llm.models", "secret"])
    expect(allowHint(denied("example.com", { rule })), rule).toBeUndefined();
  for (const host of ["169.254.169.254", "127.0.0.1", "::1", "fe80::1"]) expect(allowHint(denied(host)), host).toBeUndefined();
  expect(allowHint(denied("example.com", { decision: "allow" }))).toBeUndefined();
  expect(allowHint(denied("example.com", { decision: "allow", observed: true }))).toBe(
    "agentkernel policy allow example.com --sandbox web",
  );
});
