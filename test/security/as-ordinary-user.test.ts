/** The threats to the sandbox once more, with agentkernel started by an ordinary user: other limits hold it, the fence is the same. */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { useGuestDir } from "../support/bubblewrap-harness.ts";
import { becomeOrdinaryUser } from "../support/ordinary-user.ts";
import { requires } from "../support/requires.ts";

const here = new URL(".", import.meta.url);
const files = readdirSync(here)
  .filter((name) => /^T\d\d-.*\.test\.ts$/.test(name))
  .filter((name) => {
    const source = readFileSync(new URL(name, here), "utf8");
    // those about root's own doing stay with root
    return source.includes("support/attack-suite.ts") && !source.includes('requires("root")');
  });

const { skip } = requires("bwrap", "cc", "curl", "python3");
const user = skip ? undefined : await prepare();

/** Imported first, as whoever we are: afterwards a checkout below /root is out of reach. */
async function prepare() {
  for (const file of files) await import(new URL(file, here).href);
  const ordinary = await becomeOrdinaryUser();
  useGuestDir(ordinary.guestDir);
  return ordinary;
}

afterAll(() => user?.dir[Symbol.asyncDispose]());

test("this process is an ordinary user's, and the threats are all here", { skip }, () => {
  expect(process.getuid?.()).not.toBe(0);
  expect(files.length).toBeGreaterThan(20);
});
