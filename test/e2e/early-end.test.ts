import { expect, it } from "vitest";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

it.each([
  ["its sandbox is stopped", ["stop", "web"]],
  ["the server ends", ["serve", "--stop"]],
])("a command whose end comes because %s says so", { ...requires("bwrap"), timeout: 120_000 }, async (_why, ending) => {
  await using at = await installation();
  expect((await at.run(["create", "web", "--no-workspace"])).code).toBe(0);
  const running = at.run(["exec", "web", "--", "sh", "-c", "touch ~/ready; sleep 100"], { timeoutMs: 60_000 });
  await waitFor(async () => (await at.run(["exec", "web", "--", "sh", "-c", "test -e ~/ready"])).code === 0, { what: "the command" });
  expect((await at.run(ending)).code).toBe(0);
  expect(await running).toMatchObject({ code: 137, stderr: "agentkernel: the sandbox was stopped\n" });
});
