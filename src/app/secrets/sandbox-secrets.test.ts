import { expect, it } from "vitest";
import { Secret } from "../../base/secret.ts";
import type { SecretRepository } from "../../secrets/vault.ts";
import { SandboxSecrets } from "./sandbox-secrets.ts";

const HOUR = 60 * 60 * 1000;
const KEY = Buffer.alloc(32, 7).toString("base64");

function setUp() {
  const rows = new Map<string, { readonly ciphertext: Uint8Array; readonly at: number }>();
  let now = 10 * HOUR;
  const repository: SecretRepository = {
    list: () => [...rows].map(([name, { at }]) => ({ name, createdAt: at, updatedAt: at })),
    get: (name) => {
      const row = rows.get(name);
      return row === undefined ? undefined : { name, createdAt: row.at, updatedAt: row.at, ciphertext: row.ciphertext };
    },
    set: (name, ciphertext, at) => void rows.set(name, { ciphertext, at }),
    remove: (name) => rows.delete(name),
  };
  const secrets = new SandboxSecrets({
    repository,
    vaultKeyFile: "/nowhere",
    vaultKey: new Secret(KEY),
    env: { get: () => undefined, names: () => [] },
    clock: { now: () => now, monotonic: () => now },
  });
  return { secrets, names: () => [...rows.keys()], pass: (ms: number) => (now += ms) };
}

it("shows people only what people made", async () => {
  const { secrets, names } = setUp();
  const vault = await secrets.wholeVault();
  for (const name of ["API_KEY", "hook.watch.secret", "sandbox.u1.API_KEY"]) vault.set(name, new Secret("a-value"));
  expect(names()).toHaveLength(3);
  expect((await secrets.vault()).list().map(({ name }) => name)).toEqual(["API_KEY"]);
});

it("forgets values of sandboxes that never came to be, once nobody can be making them", async () => {
  const { secrets, names, pass } = setUp();
  await secrets.bind("API_KEY=a-value-of-its-own:api.example.com", "gone");
  await secrets.bind("API_KEY=a-value-of-its-own:api.example.com", "lives");
  (await secrets.wholeVault()).set("hook.watch.secret", new Secret("a-value"));
  secrets.prune((uuid) => uuid === "lives");
  expect(names()).toHaveLength(3);
  pass(2 * HOUR);
  secrets.prune((uuid) => uuid === "lives");
  expect(names().toSorted()).toEqual(["hook.watch.secret", "sandbox.lives.API_KEY"]);
});
