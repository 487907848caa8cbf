import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { afterAll } from "vitest";
import { bubblewrapHarness } from "../support/bubblewrap-harness.ts";
import { becomeOrdinaryUser } from "../support/ordinary-user.ts";
import { requires } from "../support/requires.ts";
import { backendContract } from "./backend.contract.ts";

// decided as root, before this process becomes somebody else
const requirement = requires("bwrap", "python3");
const user = requirement.skip ? undefined : await becomeOrdinaryUser();

afterAll(() => user?.dir[Symbol.asyncDispose]());

backendContract("bubblewrap, started by an ordinary user", requirement, async () => {
  if (user === undefined) throw new Error("skipped");
  return bubblewrapHarness({ parent: await mkdtemp(join(user.dir.path, "h-")), guestDir: user.guestDir });
});
