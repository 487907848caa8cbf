import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { processesOf } from "../../src/backends/bubblewrap/stray-processes.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";

threat("T26: agentkernel is killed", (attacked) => {
  test("and its sandboxes die with it", requires("root"), async () => {
    const uid = 2_700_000 + process.pid;
    const maker = spawn(
      process.execPath,
      [fileURLToPath(new URL("../support/sandbox-maker.ts", import.meta.url)), attacked.harness.base, String(uid)],
      { stdio: ["ignore", "pipe", "inherit"], env: {} },
    );
    await once(maker.stdout, "data");
    expect(processesOf((other) => other === uid).length).toBeGreaterThan(0);
    maker.kill("SIGKILL");
    await waitFor(() => processesOf((other) => other === uid).length === 0, {
      timeoutMs: 5000,
      what: "the end of every process",
    });
  });
});
