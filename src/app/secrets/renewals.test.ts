import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { tempDir } from "../../../test/support/temp.ts";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { defineSecretFile } from "../../secrets/files/definition.ts";
import type { Renewal, TokensAt } from "../../secrets/files/renewal.ts";
import { VaultKey } from "../../secrets/vault-key.ts";
import { Renewals } from "./renewals.ts";

const [ACCESS, REFRESH] = ["/claudeAiOauth/accessToken", "/claudeAiOauth/refreshToken"];
const tokens = (access: string, refresh: string): TokensAt => ({ [ACCESS]: access, [REFRESH]: refresh });
const [ONE, TWO, THREE] = [tokens("access-1", "refresh-1"), tokens("access-2", "refresh-2"), tokens("access-3", "refresh-3")];
const text = (at: TokensAt): string => JSON.stringify({ claudeAiOauth: { accessToken: at[ACCESS], refreshToken: at[REFRESH] } });

async function setting(held = text(ONE)) {
  const dir = await tempDir();
  const path = join(dir.path, "login.json");
  writeFileSync(path, held, { mode: 0o600 });
  const definition = defineSecretFile("claude-code", { name: "claude-code", path }, "/home/me");
  if (definition === undefined) throw new Error("it is known");
  const folder = join(dir.path, "logins");
  const lines: string[] = [];
  const line = (message: string, fields?: object): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const log = { ...silentLog, warn: line, error: line };
  const open = async (key = 7): Promise<Renewals> => {
    const renewals = new Renewals({ folder, key: () => Promise.resolve(new VaultKey(Buffer.alloc(32, key))), clock: systemClock, log });
    await renewals.open();
    return renewals;
  };
  const renewal = (before: TokensAt, after: TokensAt): Renewal => ({ definition, spent: [before], tokens: after, atMs: Date.now() });
  const now = (): TokensAt => {
    const { claudeAiOauth } = JSON.parse(readFileSync(path, "utf8")) as { claudeAiOauth: Record<string, string> };
    return tokens(claudeAiOauth["accessToken"] ?? "", claudeAiOauth["refreshToken"] ?? "");
  };
  const kept = (): readonly string[] => readdirSync(folder);
  return { path, definition, folder, lines, open, renewal, now, kept, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}

/** What makes a login's file one that cannot be replaced, for root too. */
const blocked = (path: string): Disposable => {
  mkdirSync(join(`${path}.agentkernel-new`, "x"), { recursive: true });
  return { [Symbol.dispose]: () => rmSync(`${path}.agentkernel-new`, { recursive: true }) };
};

it("holds what cannot be written, over processes, and brings the last of it into the file", async () => {
  await using at = await setting();
  {
    using _blocked = blocked(at.path);
    const first = await at.open();
    expect(first.keep(at.renewal(ONE, TWO))).toBe("later");
    expect(at.now()).toEqual(ONE);
    // whoever reads it meanwhile has what is new
    const second = await at.open();
    expect(second.read(at.definition)).toContain("refresh-2");
    expect(second.keep(at.renewal(TWO, THREE))).toBe("later");
    await second.recover();
    expect(first.read(at.definition)).toContain("refresh-3");
    expect(at.now()).toEqual(ONE);
    expect(at.kept()).toHaveLength(1);
  }
  await (await at.open()).recover();
  expect(at.now()).toEqual(THREE);
  expect(at.kept()).toEqual([]);
});

it("waits for a file that is being written, and for one that is away", async () => {
  await using at = await setting("");
  const renewals = await at.open();
  expect(renewals.keep(at.renewal(ONE, TWO))).toBe("later");
  rmSync(at.path);
  const soon = renewals.finishSoon(at.definition);
  writeFileSync(at.path, text(ONE), { mode: 0o600 });
  await soon;
  expect([at.now(), at.kept()]).toEqual([TWO, []]);
});

it.each([
  ["another login", tokens("access-9", "refresh-9"), TWO, false],
  [
    "its own renewal of an access token, when the refresh token stayed",
    tokens("access-9", "refresh-1"),
    tokens("access-2", "refresh-1"),
    false,
  ],
  ["an access token beside a refresh token that is spent", tokens("access-9", "refresh-1"), TWO, true],
])("leaves %s as it should", async (_name, held, brought, isReplaced) => {
  await using at = await setting(text(held));
  const renewals = await at.open();
  expect(renewals.keep(at.renewal(ONE, brought))).toBe(isReplaced ? "stored" : "theirs");
  expect([at.now(), at.kept()]).toEqual([isReplaced ? brought : held, []]);
});

it("stores what the journal has no room for, and says what could happen", async () => {
  await using at = await setting();
  writeFileSync(at.folder, "no folder");
  const renewals = await at.open();
  expect(renewals.keep(at.renewal(ONE, TWO))).toBe("stored");
  expect(at.now()).toEqual(TWO);
  expect(at.lines.join("\n")).toMatch(/the journal of logins cannot be written/);
});

it("keeps an entry that another key sealed, or that was changed, and says so once", async () => {
  await using at = await setting();
  {
    using _blocked = blocked(at.path);
    (await at.open()).keep(at.renewal(ONE, TWO));
  }
  const other = await at.open(8);
  await other.recover();
  expect(other.read(at.definition)).toBe(text(ONE));
  expect(at.lines.join("\n")).toMatch(/was encrypted with another key/);
  const [name = ""] = at.kept();
  const bytes = readFileSync(join(at.folder, name));
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(join(at.folder, name), bytes);
  const damaged = await at.open();
  await damaged.recover();
  expect(at.lines.join("\n")).toMatch(/is damaged or was changed/);
  expect(at.now()).toEqual(ONE);
  expect(at.kept()).toHaveLength(1);
});
