import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cli, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";

/** Escape sequences that set the clipboard, the title or the colours of whoever reads the record later. */
const ESCAPES = ["\u001b]52;c;ZXZpbA==\u0007", "\u001b]0;owned\u0007", "\u001bP+q\u001b\\", "\u009b31m", "\r\nforged line"];

let base: string;
let home: string;

afterAll(async () => {
  await cli(["serve", "--stop"], { home });
  rmSync(base, { recursive: true, force: true });
});

describe("terminal escape sequences in what is recorded", requires("bwrap", "curl"), () => {
  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), "agentkernel-T23-"));
    home = stateHome(base);
    mkdirSync(join(base, "project"));
    // all of them in one run: each process of the program costs a second of a loaded machine
    const labels = ESCAPES.flatMap((escape, i) => ["--label", `note${i}=x${escape}`]);
    const sent = ESCAPES.map(
      (escape) => `: '${escape}'; curl -s -m 5 'http://example.com/' -H 'user-agent: ${escape.replaceAll(/[\r\n]/g, "")}'`,
    );
    await cli(["run", ...labels, "--", "sh", "-c", sent.join("; ")], { home, cwd: join(base, "project") });
    await cli(["create", "box", "--no-workspace"], { home });
  }, 60_000);

  it("is refused in a label, and not in what is said about it", async () => {
    const refused = await cli(["create", "evil", "--no-workspace", "--label", `evil=${ESCAPES[0]}`], { home });
    expect(refused.code).toBe(125);
    expect(refused.stderr).toContain("without control characters");
    expect(refused.stderr).not.toContain("\u001b]52");
  });

  it("is not in the error of a command that cannot be run", async () => {
    const failed = await cli(["exec", "box", "--", `no-such-${ESCAPES[0]}`], { home });
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).not.toContain("\u001b]52");
  });

  it.each([["audit", "tail", "-n", "200"], ["audit", "tail", "-n", "200", "--json"], ["ls"], ["info", "box"], ["logs", "box"]])(
    "is shown, not sent, by %s %s %s %s %s",
    async (...args) => {
      const shown = await cli(args, { home });
      expect(shown.code).toBe(0);
      // oxlint-disable-next-line no-control-regex -- control characters are what must not be there
      expect(shown.stdout.toString("latin1")).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f]/);
      expect(shown.stdout.toString("utf8")).not.toContain("\u009b");
      expect(shown.stdout.toString()).not.toMatch(/^forged line/m);
    },
  );

  it("leaves each event one line, and the escapes in it as text", async () => {
    const text = (await cli(["audit", "tail", "-n", "200", "--json"], { home })).stdout.toString();
    const events = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; labels?: Record<string, string> });
    // a header with control characters is refused as malformed, the others are denied by the policy: both are in the log
    expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(["egress.exchange", "egress.decision"]));
    for (const escape of ESCAPES)
      expect(
        events.some(({ labels }) => Object.values(labels ?? {}).includes(`x${escape}`)),
        JSON.stringify(escape),
      ).toBe(true);
  });
});
