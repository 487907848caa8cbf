import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T13: the environment and the command lines of agentkernel", (attacked) => {
  test("are in no process of the sandbox", async () => {
    process.env["AGENTKERNEL_TEST_CANARY"] = "canary-of-the-environment";
    const sandbox = await attacked.create();
    const { stdout } = await runIn(sandbox, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'");
    expect(stdout).toContain("/run/agentkernel/init");
    expect(stdout).not.toMatch(/canary-of-the|NODE_|--seccomp|--args|bwrap|net-helper/);
    delete process.env["AGENTKERNEL_TEST_CANARY"];
  });

  test("a command has its own environment and nothing else", async () => {
    expect((await runIn(attacked.sandbox, ["/usr/bin/env"], { env: { ONE: "1" } })).stdout).toBe("ONE=1\n");
  });
});
