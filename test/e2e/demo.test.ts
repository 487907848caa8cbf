import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { cli, startCli, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

const staged = (home: string): readonly string[] => readdirSync(join(home, "staged")).filter((name) => name.startsWith("demo"));

it("runs beside another demo, and clears up after one that was killed", { ...requires("bwrap"), timeout: 120_000 }, async () => {
  const base = mkdtempSync(join(tmpdir(), "agentkernel-demo-"));
  try {
    const home = stateHome(base);
    const killed = startCli(["demo"], { home });
    const closed = new Promise((resolve) => killed.once("close", resolve));
    await waitFor(() => staged(home).length === 1, { timeoutMs: 20_000, what: "the demo's folder" });
    killed.kill("SIGKILL");
    await closed;
    const demos = await Promise.all([1, 2].map(() => cli(["demo"], { home, timeoutMs: 60_000 })));
    for (const { code, stdout, stderr } of demos) {
      expect(stderr).toBe("");
      expect(code).toBe(0);
      expect(stdout.toString()).toContain("Usage, as the gateway metered it");
    }
    expect(staged(home)).toEqual([]);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});
