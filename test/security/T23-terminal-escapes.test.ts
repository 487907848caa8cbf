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

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-T23-"));
  home = stateHome(base);
  mkdirSync(join(base, "project"));
});

afterAll(async () => {
  await cli(["serve", "--stop"], { home });
  rmSync(base, { recursive: true, force: true });
});

describe("terminal escape sequences in what is recorded", requires("bwrap", "curl"), () => {
  it("are shown, not sent, by every listing; each event stays one line", async () => {
    for (const escape of ESCAPES) {
      await cli(
        [
          "run",
          "--label",
          `note=x${escape}`,
          "--",
          "sh",
          "-c",
          `: '${escape}'; curl -s -m 5 'http://example.com/' -H 'user-agent: ${escape.replaceAll(/[\r\n]/g, "")}'`,
        ],
        {
          home,
          cwd: join(base, "project"),
        },
      );
    }
    await cli(["create", "box", "--no-workspace", "--label", `evil=${ESCAPES[0]}`], { home });
    await cli(["exec", "box", "--", `no-such-${ESCAPES[0]}`], { home }).then((failed) => expect(failed.stderr).not.toContain("\u001b]52"));
    for (const args of [
      ["audit", "tail", "-n", "200"],
      ["audit", "tail", "-n", "200", "--json"],
      ["ls"],
      ["info", "box"],
      ["logs", "box"],
    ]) {
      const shown = await cli(args, { home });
      expect(shown.code).toBe(0);
      // oxlint-disable-next-line no-control-regex -- control characters are what must not be there
      expect(shown.stdout.toString("latin1")).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f]/);
      expect(shown.stdout.toString("utf8")).not.toContain("\u009b");
      expect(shown.stdout.toString()).not.toMatch(/^forged line/m);
    }
    const lines = (await cli(["audit", "tail", "-n", "200", "--json"], { home })).stdout.toString().trim().split("\n");
    for (const line of lines) expect(() => JSON.parse(line) as unknown).not.toThrow();
  });
});
