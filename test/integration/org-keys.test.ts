import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createApp, type OwnedApp } from "../../src/app/create-app.ts";
import type { Caller } from "../../src/app/facade.ts";
import { loadConfig } from "../../src/config/load.ts";
import { statePaths } from "../../src/config/paths.ts";
import { prepareState } from "../../src/config/prepare-state.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const caller: Caller = { actor: { kind: "user", user_id: "me" } };
const VALUE = "sk-org-4f9d8c7b6a5e4d3c2b1a";

async function setting(first: string) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const variables: Record<string, string> = { AGENTKERNEL_HOME: dir.path, HOME: dir.path, GROQ_ORG: VALUE };
  const env = { get: (name: string) => variables[name], names: () => Object.keys(variables) };
  const uid = process.getuid?.() ?? 0;
  const paths = statePaths(env, uid);
  await mkdir(paths.state, { recursive: true });
  await prepareState(paths, uid);
  const file = join(dir.path, "test.toml");
  const read = async () => (await loadConfig({ env, uid, file })).config;
  const write = (toml: string): Promise<void> => writeFile(file, toml);
  await write(first);
  const open = async (): Promise<OwnedApp> =>
    stack.use(await createApp({ config: await read(), paths, env, reload: read }, { isServer: true, hasMetrics: false }));
  return { app: await open(), beside: open, write, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const check = async (app: OwnedApp, host: string, profile: "moderate" | "restrictive" = "moderate") => {
  const { verdict, rule } = await app.policy.check({ url: `https://${host}/v1/chat/completions`, profile });
  return `${verdict} ${rule}`;
};

test("hosts of the organisation's keys are allowed, as long as there is a key", async () => {
  await using at = await setting('[llm_keys]\n"api.groq.com" = "GROQ_ORG"\nmistral = "NOBODY_SET_THIS"\n');
  expect(await at.app.llmKeys.list()).toEqual([
    { target: "api.groq.com", hosts: ["api.groq.com"], vault_key_name: "GROQ_ORG", source: "file", available: true },
    { target: "mistral", hosts: ["api.mistral.ai"], vault_key_name: "NOBODY_SET_THIS", source: "file", available: false },
  ]);
  expect([
    await check(at.app, "api.groq.com"),
    await check(at.app, "api.mistral.ai"),
    await check(at.app, "api.groq.com", "restrictive"),
  ]).toEqual(
    ["allow secret:GROQ_ORG", "deny default", "deny default"].map((text) => expect.stringMatching(new RegExp(`^${text.split(" ")[0]}`))),
  );
  // the secret comes later
  await at.app.secrets.set(caller, "NOBODY_SET_THIS", VALUE);
  expect(await check(at.app, "api.mistral.ai")).toBe("allow secret:NOBODY_SET_THIS");
});

test("keys are set, shown without their value and removed; every process follows", async () => {
  await using at = await setting("");
  const other = await at.beside();
  const { llmKeys } = at.app;
  await expect(llmKeys.put(caller, "openai", { vault_key_name: "ORG" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(await llmKeys.put(caller, "openai", { vault_key_name: "ORG", value: VALUE })).toEqual({
    target: "openai",
    hosts: ["api.openai.com"],
    vault_key_name: "ORG",
    source: "api",
    available: true,
  });
  expect(await check(at.app, "api.openai.com")).toBe("allow secret:ORG");
  await waitFor(async () => (await check(other, "api.openai.com")) === "allow secret:ORG");
  await other.llmKeys.remove(caller, "openai");
  expect(await check(other, "api.openai.com")).toMatch(/^deny/);
  await waitFor(async () => (await check(at.app, "api.openai.com")).startsWith("deny"));
  await expect(llmKeys.remove(caller, "openai")).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(JSON.stringify(await at.app.events.tail({ last: 100 }))).not.toContain(VALUE);
});

test("keys of the file are read-only, and a value that no header carries is refused", async () => {
  await using at = await setting('[llm_keys]\ngroq = "GROQ_ORG"\n');
  const conflict = { code: "CONFLICT", message: expect.stringContaining("/test.toml") };
  await expect(at.app.llmKeys.put(caller, "groq", { vault_key_name: "X", value: "x" })).rejects.toMatchObject(conflict);
  await expect(at.app.llmKeys.remove(caller, "groq")).rejects.toMatchObject(conflict);
  await expect(at.app.llmKeys.put(caller, "openai", { vault_key_name: "X", value: "a\r\nb: c" })).rejects.toMatchObject({
    code: "VALIDATION",
  });
  await at.write("");
  await at.app.policy.reload(caller);
  expect(await at.app.llmKeys.list()).toEqual([]);
  expect(await check(at.app, "api.groq.com")).toMatch(/^deny/);
});
