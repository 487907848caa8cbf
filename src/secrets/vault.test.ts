import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { Secret } from "../base/secret.ts";
import { createVault, type SecretMeta, type SecretRepository } from "./vault.ts";
import { loadOrCreateVaultKey, VaultKey, vaultKeyFromText } from "./vault-key.ts";

class MemoryRepository implements SecretRepository {
  readonly rows = new Map<string, SecretMeta & { readonly ciphertext: Uint8Array }>();

  list(): readonly SecretMeta[] {
    return [...this.rows.values()].map(({ name, createdAt, updatedAt }) => ({ name, createdAt, updatedAt }));
  }

  get(name: string) {
    return this.rows.get(name);
  }

  set(name: string, ciphertext: Uint8Array, nowMs: number): void {
    this.rows.set(name, { name, ciphertext, createdAt: this.rows.get(name)?.createdAt ?? nowMs, updatedAt: nowMs });
  }

  remove(name: string): boolean {
    return this.rows.delete(name);
  }
}

const clock = { now: () => 1000, monotonic: () => 0 };
const key = new VaultKey(Buffer.alloc(32, 1));

function filled() {
  const repository = new MemoryRepository();
  const vault = createVault(repository, key, clock);
  vault.set("OPENAI_API_KEY", new Secret("sk-real-value"));
  const stored = repository.get("OPENAI_API_KEY");
  if (stored === undefined) throw new Error("not stored");
  return { repository, vault, stored };
}

describe("the vault", () => {
  it("gives back what it was given, and nothing for what it was not", () => {
    const { vault } = filled();
    expect(vault.get("OPENAI_API_KEY")?.reveal()).toBe("sk-real-value");
    expect(vault.get("OTHER")).toBeUndefined();
    expect(vault.list()).toEqual([{ name: "OPENAI_API_KEY", createdAt: 1000, updatedAt: 1000 }]);
    expect([vault.remove("OPENAI_API_KEY"), vault.remove("OPENAI_API_KEY"), vault.get("OPENAI_API_KEY")]).toEqual([true, false, undefined]);
  });

  it("stores no value and never the same bytes twice", () => {
    const { repository, vault, stored } = filled();
    expect(Buffer.from(stored.ciphertext).toString("latin1")).not.toContain("real");
    vault.set("OPENAI_API_KEY", new Secret("sk-real-value"));
    expect(Buffer.compare(stored.ciphertext, repository.get("OPENAI_API_KEY")?.ciphertext ?? stored.ciphertext)).not.toBe(0);
  });

  it("refuses every changed byte, a cut value and a value under another name", () => {
    const { repository, vault, stored } = filled();
    for (let at = 0; at < stored.ciphertext.length; at += 1) {
      const changed = Uint8Array.from(stored.ciphertext, (byte, index) => (index === at ? byte ^ 1 : byte));
      repository.rows.set("OPENAI_API_KEY", { ...stored, ciphertext: changed });
      expect(() => vault.get("OPENAI_API_KEY"), `byte ${at}`).toThrow(expect.objectContaining({ code: "STATE_UNUSABLE" }));
    }
    for (let length = 0; length < stored.ciphertext.length; length += 1) {
      repository.rows.set("OPENAI_API_KEY", { ...stored, ciphertext: stored.ciphertext.slice(0, length) });
      expect(() => vault.get("OPENAI_API_KEY"), `length ${length}`).toThrow(expect.objectContaining({ code: "STATE_UNUSABLE" }));
    }
    repository.rows.set("MOVED", { ...stored, name: "MOVED" });
    expect(() => vault.get("MOVED")).toThrow(/damaged or was changed/);
  });

  it("says that the key is another one", () => {
    const { repository } = filled();
    const other = createVault(repository, new VaultKey(Buffer.alloc(32, 2)), clock);
    expect(() => other.get("OPENAI_API_KEY")).toThrow(
      expect.objectContaining({ message: expect.stringContaining("another key"), hint: expect.stringContaining("AGENTKERNEL_VAULT_KEY") }),
    );
  });

  it.each([[""], ["a b"], ["../x"], ["1A"], ["A".repeat(193)], ["A\n"], ["A\0"]])("refuses the name %j", (name) => {
    const { vault } = filled();
    expect(() => vault.set(name, new Secret("v"))).toThrow(expect.objectContaining({ code: "VALIDATION" }));
  });

  it.each([
    [""],
    ["a\nb"],
    ["a\r\nX-Evil: 1"],
    ["a\0"],
    ["a\u001b[0m"],
    ["a\u007f"],
    ["ключ"],
    [" a"],
    ["a "],
    ["a\n"],
    ["a".repeat(65_537)],
  ])("refuses the value %j without repeating it", (value) => {
    const { vault } = filled();
    expect(() => vault.set("KEY", new Secret(value))).toThrow(
      expect.objectContaining({ code: "VALIDATION", message: expect.stringMatching(/^the value of KEY [a-zA-Z0-9 ]+$/) }),
    );
  });
});

describe("the vault key", () => {
  it("is made once with mode 0600, whoever comes first, and leaves nothing beside it", async () => {
    await using dir = await tempDir();
    const file = join(dir.path, "vault", "vault.key");
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateVaultKey(file)));
    expect(new Set(keys.map((made) => made.bytes.toString("hex"))).size).toBe(1);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(join(dir.path, "vault"))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(dir.path, "vault"))).toEqual(["vault.key"]);
    expect((await loadOrCreateVaultKey(file)).id.equals(keys[0]?.id ?? Buffer.alloc(0))).toBe(true);
  });

  it("is refused when others can use it, when it is a link, and when it is none", async () => {
    await using dir = await tempDir();
    const file = join(dir.path, "vault.key");
    await loadOrCreateVaultKey(file);
    const content = await readFile(file, "utf8");
    await chmod(file, 0o640);
    await expect(loadOrCreateVaultKey(file)).rejects.toMatchObject({ code: "STATE_UNUSABLE", hint: `chmod 600 ${file}` });
    await symlink(file, join(dir.path, "link"));
    await expect(loadOrCreateVaultKey(join(dir.path, "link"))).rejects.toMatchObject({ code: "STATE_UNUSABLE" });
    await mkdir(join(dir.path, "folder"), { mode: 0o700 });
    await expect(loadOrCreateVaultKey(join(dir.path, "folder"))).rejects.toMatchObject({ code: "STATE_UNUSABLE" });
    for (const broken of ["", "zz", content.slice(1), `${content}${content}`]) {
      const other = join(dir.path, `broken-${broken.length}`);
      await writeFile(other, broken, { mode: 0o600 });
      await expect(loadOrCreateVaultKey(other)).rejects.toMatchObject({
        code: "STATE_UNUSABLE",
        message: expect.stringContaining("does not hold a key"),
      });
    }
  });

  it("is read from hex and base64, and shows nothing of itself", () => {
    const bytes = Buffer.alloc(32, 0xab);
    for (const encoding of ["hex", "base64", "base64url"] as const) {
      expect(vaultKeyFromText(new Secret(bytes.toString(encoding)), "AGENTKERNEL_VAULT_KEY").bytes.equals(bytes)).toBe(true);
    }
    expect(() => vaultKeyFromText(new Secret("short"), "AGENTKERNEL_VAULT_KEY")).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }),
    );
    const made = new VaultKey(bytes);
    expect(`${JSON.stringify({ made })}${inspect(made, { depth: 5, showHidden: true })}`).not.toMatch(/abab|171/i);
  });
});
