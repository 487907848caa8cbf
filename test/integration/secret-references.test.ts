import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runProcess } from "../../src/base/process.ts";
import { Secret } from "../../src/base/secret.ts";
import { createResolver, type ResolverOptions } from "../../src/secrets/references.ts";
import type { Vault } from "../../src/secrets/vault.ts";
import { tempDir } from "../support/temp.ts";

const vault: Vault = {
  list: () => [],
  get: (name) => (name === "KEPT" ? new Secret("from-vault") : undefined),
  set: () => undefined,
  remove: () => false,
};
const variables: Readonly<Record<string, string>> = {
  PATH: "/usr/bin:/bin",
  HOST_KEY: "from-env",
  EMPTY: "",
  MINE: "hidden",
  BROKEN: "a\nb",
};
const options: ResolverOptions = {
  env: { get: (name) => variables[name], names: () => Object.keys(variables) },
  vault,
  hiddenFromCommands: ["MINE"],
};
const resolver = createResolver(options);
const signal = new AbortController().signal;

describe("references", () => {
  it("finds a value in the environment, in a file, in the vault and from a command", async () => {
    await using dir = await tempDir();
    const file = join(dir.path, "key");
    await writeFile(file, "from-file\n");
    expect((await resolver.resolve({ env: "HOST_KEY" }, signal)).reveal()).toBe("from-env");
    expect((await resolver.resolve({ file }, signal)).reveal()).toBe("from-file");
    expect((await resolver.resolve({ vault: "KEPT" }, signal)).reveal()).toBe("from-vault");
    expect((await resolver.resolve({ command: ["sh", "-c", "echo from-$HOST_KEY"] }, signal)).reveal()).toBe("from-from-env");
  });

  it("gives a command the host's environment without our own keys", async () => {
    expect((await resolver.resolve({ command: ["sh", "-c", 'echo "x${MINE:-absent}"'] }, signal)).reveal()).toBe("xabsent");
  });

  it("prefers the host's variable to the vault for a name, and says how to set one that is nowhere", () => {
    expect(resolver.byName("HOST_KEY").reveal()).toBe("from-env");
    expect(resolver.byName("KEPT").reveal()).toBe("from-vault");
    for (const name of ["EMPTY", "NOWHERE"]) {
      expect(() => resolver.byName(name)).toThrow(
        expect.objectContaining({ code: "NOT_FOUND", hint: expect.stringContaining(`agentkernel secret set ${name}`) }),
      );
    }
    expect(() => resolver.byName("BROKEN")).toThrow(expect.objectContaining({ code: "VALIDATION" }));
  });

  it("says in one line what is wrong with a source, and never what it printed", async () => {
    await using dir = await tempDir();
    const file = join(dir.path, "key");
    const fifo = join(dir.path, "fifo");
    await writeFile(file, "secret-value");
    await chmod(file, 0o666);
    await runProcess({ argv: ["mkfifo", fifo], env: { PATH: "/usr/bin:/bin" }, timeoutMs: 5000 });
    const cases: readonly (readonly [Parameters<typeof resolver.resolve>[0], RegExp])[] = [
      [{ env: "NOWHERE" }, /environment variable NOWHERE is not set/],
      [{ env: "EMPTY" }, /is not set/],
      [{ env: "BROKEN" }, /line break/],
      [{ file: join(dir.path, "none") }, /cannot be read \(ENOENT\)/],
      [{ file: dir.path }, /not a regular file/],
      [{ file: fifo }, /not a regular file/],
      [{ file }, /written by everybody/],
      [{ vault: "NONE" }, /vault entry NONE does not exist/],
      [{ command: ["sh", "-c", "echo secret-value; echo secret-value >&2; exit 3"] }, /exited with 3/],
      [{ command: ["sh", "-c", "printf 'secret-value\\nsecond'"] }, /line break/],
      [{ command: ["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' a"] }, /more than 64 KiB/],
      [{ command: ["sh", "-c", ":"] }, /is empty/],
      [{ command: ["/no/such/program"] }, /program/],
    ];
    for (const [reference, message] of cases) {
      const failure = await resolver.resolve(reference, signal).then(
        () => new Error("resolved"),
        (error: Error) => error,
      );
      expect(failure.message).toMatch(message);
      expect(failure.message).not.toMatch(/secret-value|\n/);
    }
  });
});
