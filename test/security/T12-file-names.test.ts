import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { eventLine } from "../../src/cli/event-line.ts";
import type { Event } from "../../src/schema/event.ts";
import { workspaceCopy } from "../support/workspace-copy.ts";

const NAMES = [
  Buffer.from('line\nbreak "quoted"'),
  Buffer.from([0x66, 0xff, 0xfe, 0x80]),
  Buffer.alloc(255, "n"),
  Buffer.from("\u001b]0;title\u0007"),
  Buffer.from("-rf"),
  // shown as it stands it would read "hooks/exe.txt"
  Buffer.from("\u202etxt.exe\u2066"),
];

test("names of any bytes are written back as they are, and none of them breaks a line of the listing", async () => {
  await using at = await workspaceCopy();
  await at.session.prepare();
  await at.session.handOver(undefined);
  const hooks = Buffer.from(`${at.copy}/.git/hooks`);
  mkdirSync(hooks, { recursive: true });
  for (const name of NAMES)
    for (const folder of [Buffer.from(at.copy), hooks]) writeFileSync(Buffer.concat([folder, Buffer.from("/"), name]), "x");
  const result = await at.session.finish(true);
  expect(result.created).toBeGreaterThanOrEqual(NAMES.length * 2);
  const arrived = readdirSync(Buffer.from(at.original), { encoding: "buffer" });
  for (const name of NAMES) {
    expect(arrived.some((other) => other.equals(name))).toBe(true);
    expect(readFileSync(Buffer.concat([Buffer.from(`${at.original}/`), name]), "utf8")).toBe("x");
  }
  for (const path of result.sensitive) {
    const event = {
      id: "evt_1",
      schema_version: 1,
      timestamp: "2026-11-21T12:00:00.000Z",
      type: "sandbox.operation",
      operation: "end",
      outcome: "info",
      actor: { kind: "system", user_id: "agentkernel" },
      backend: "bubblewrap",
      reason: path,
    } as const satisfies Event;
    // oxlint-disable-next-line no-control-regex -- exactly these must not pass
    expect(eventLine(event)).not.toMatch(/[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/);
    expect(JSON.stringify(event)).not.toContain("\n");
  }
});
