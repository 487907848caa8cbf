import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync, lstatSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { derivedRandom } from "../placeholder.ts";
import { grantOf, newTokens, readCredentials, refreshedCredentials, renewedAnswer } from "./credentials.ts";
import { defineSecretFile } from "./definition.ts";
import { mapStrings, valueAt, withValueAt } from "./json-pointer.ts";
import { claimsOf, looksLikeToken, maskToken } from "./mask.ts";
import { OpenSecretFile } from "./open-file.ts";
import { readSecretFile, secretFileVersion, writeSecretFile } from "./store.ts";

const jwt = (claims: object, signature = "s".repeat(342)): string =>
  [{ alg: "RS256", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".") + `.${signature}`;

const codex = defineSecretFile("codex", undefined, "/home/me");
if (codex === undefined) throw new Error("codex is known");
const source = (at: string) => derivedRandom(Buffer.alloc(32, 1), at);

const file = (access: string, more: object = {}) =>
  JSON.stringify({
    OPENAI_API_KEY: null,
    tokens: {
      access_token: access,
      refresh_token: "rt_0123456789abcdefghij0123456789",
      account_id: "11111111-2222-4333-8444-555555555555",
    },
    last_refresh: "2026-11-01T00:00:00.000Z",
    ...more,
  });

describe("masking a token", () => {
  it("keeps what a client reads of a JWT, and its length", () => {
    const value = jwt({ exp: 1, email: "a@b.c" });
    const masked = maskToken(value, []);
    expect(claimsOf(masked)).toBe(claimsOf(value));
    expect(masked.length).toBe(value.length);
    expect(masked.split(".")[2]).not.toBe(value.split(".")[2]);
  });

  it.each([
    ["unsigned", `${Buffer.from("{}").toString("base64url")}.${Buffer.from("{}").toString("base64url")}.`],
    ["of two parts", "eyJhIjoxfQ.eyJhIjoxfQ"],
    ["whose claims are no object", `eyJhIjoxfQ.${Buffer.from("[1]").toString("base64url")}.${"x".repeat(40)}`],
    ["encrypted, of five parts", "eyJhIjoxfQ.a.b.c.d"],
    ["with a short signature", "eyJhIjoxfQ.eyJhIjoxfQ.short"],
  ])("replaces what is %s as a whole", (_name, value) => {
    const masked = maskToken(value, []);
    expect(claimsOf(value)).toBeUndefined();
    for (const part of value.split(".").filter((one) => one.length > 4)) expect(masked).not.toContain(part);
  });

  it.each([
    ["sk-ant-oat01-0123456789", true],
    ["a".repeat(64), true],
    ["rt.with.dots-and_signs~0123", true],
    ["https://x.example.com/?token=0123456789", true],
    ["short", false],
    ["openid profile email offline_access", false],
    ["2026-11-21T14:00:00.000Z", false],
    ["https://auth.openai.com/oauth/token", false],
    ["somebody.with.a.name@example.com", false],
  ])("takes %s for a token: %s", (text, expected) => expect(looksLikeToken(text)).toBe(expected));
});

describe("a pointer", () => {
  const root = { a: { "b/c": ["x", { d: "y" }], "~": 1 } };
  it("leads through objects and lists, and nowhere else", () => {
    expect(valueAt(root, "/a/b~1c/1/d")).toBe("y");
    expect(valueAt(root, "/a/~0")).toBe(1);
    for (const pointer of ["/a/b~1c/01", "/a/b~1c/length", "/a/toString", "/a/b~1c/0/0", "/__proto__/x"])
      expect(valueAt(root, pointer)).toBeUndefined();
  });

  it("sets what is there or could be, and changes nothing else", () => {
    expect(withValueAt(root, "/a/b~1c/1/d", "z")).toEqual({ a: { "b/c": ["x", { d: "z" }], "~": 1 } });
    expect(withValueAt(root, "/new", "z")).toEqual({ ...root, new: "z" });
    expect(withValueAt(root, "/no/where", "z")).toEqual(root);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  it("names every string once", () => {
    const seen: string[] = [];
    mapStrings(root, (text, pointer) => (seen.push(pointer), text));
    expect(seen).toEqual(["/a/b~1c/0", "/a/b~1c/1/d"]);
  });
});

describe("a file with logins", () => {
  it("hides every token it knows, and whatever else looks like one", () => {
    const access = jwt({ exp: 1 });
    const text = file(access, { agent_identity: { private: "MC4CAQAwBQYDK2VwBCIEIabcdefghijkl" } });
    const credentials = readCredentials(text, codex);
    const open = new OpenSecretFile(codex, source);
    open.take(credentials);
    const shown = open.shown(credentials);
    for (const value of [access, "rt_0123456789abcdefghij0123456789", "MC4CAQAwBQYDK2VwBCIEIabcdefghijkl"])
      expect(shown).not.toContain(value);
    expect(JSON.parse(shown)).toMatchObject({ OPENAI_API_KEY: null, tokens: { account_id: "11111111-2222-4333-8444-555555555555" } });
    expect(Object.keys(JSON.parse(shown) as object)).toEqual(Object.keys(JSON.parse(text) as object));
    // what nobody named may go nowhere
    const unknown = open.secrets.find(({ name }) => name === "codex/agent_identity/private");
    expect(unknown).toMatchObject({ host: "nowhere.invalid", isBodyOnly: true });
  });

  it("keeps the placeholder of an opaque token over a refresh, and both of a JWT whose claims changed", () => {
    const open = new OpenSecretFile(codex, source);
    const first = jwt({ exp: 1 });
    open.take(readCredentials(file(first), codex));
    const [refresh, access] = [open.placeholderAt("/tokens/refresh_token"), open.placeholderAt("/tokens/access_token")];
    const second = jwt({ exp: 2 }, "t".repeat(342));
    const tokens = new Map([
      ["/tokens/access_token", second],
      ["/tokens/refresh_token", "rt_of-another-length-than-before"],
    ]);
    expect(open.take({ tokens, unknown: new Map() })).toBe(true);
    expect(open.take({ tokens, unknown: new Map() })).toBe(false);
    expect(open.placeholderAt("/tokens/refresh_token")).toBe(refresh);
    const now = open.placeholderAt("/tokens/access_token") ?? "";
    expect(claimsOf(now)).toBe(claimsOf(second));
    const held = open.secrets.filter(({ name }) => name === "codex/tokens/access_token");
    expect(held.map(({ placeholder }) => placeholder)).toEqual([access, now]);
    expect(new Set(held.map(({ value }) => value.reveal()))).toEqual(new Set([second]));
  });

  it("holds no more than a few placeholders for one token", () => {
    const open = new OpenSecretFile(codex, source);
    for (let exp = 0; exp < 50; exp += 1) open.take(readCredentials(file(jwt({ exp })), codex));
    expect(open.secrets.filter(({ name }) => name === "codex/tokens/access_token")).toHaveLength(4);
  });

  it("takes the answer of a refresh over, with the times that clients look at", () => {
    const claude = defineSecretFile("claude-code", undefined, "/home/me");
    if (claude?.refresh === undefined) throw new Error("it is known");
    const before = JSON.stringify({
      claudeAiOauth: { accessToken: "sk-ant-oat01-aaaaaaaaaaaaaaaaaaaa", refreshToken: "sk-ant-ort01-b", expiresAt: 1 },
    });
    const answer = { access_token: "sk-ant-oat01-cccccccccccccccccccc", refresh_token: 7, expires_in: 60, token_type: "Bearer" };
    const tokens = newTokens(answer, claude.refresh);
    expect([...tokens]).toEqual([["/claudeAiOauth/accessToken", "sk-ant-oat01-cccccccccccccccccccc"]]);
    expect(JSON.parse(refreshedCredentials(before, claude, tokens, answer, 1000))).toEqual({
      claudeAiOauth: { accessToken: "sk-ant-oat01-cccccccccccccccccccc", refreshToken: "sk-ant-ort01-b", expiresAt: 61_000 },
    });
  });

  it("answers in the endpoint's place with placeholders, while the access token has some time left", () => {
    const claude = defineSecretFile("claude-code", undefined, "/home/me");
    if (claude?.refresh === undefined || codex.refresh === undefined) throw new Error("they are known");
    const shown = (at: string): string => `placeholder of ${at}`;
    const oauth = {
      accessToken: "sk-ant-oat01-aaaaaaaaaaaaaaaaaaaa",
      refreshToken: "sk-ant-ort01-b",
      expiresAt: 200_000,
      scopes: ["a", "b"],
    };
    const credentials = readCredentials(JSON.stringify({ claudeAiOauth: oauth }), claude);
    expect(renewedAnswer(credentials, claude.refresh, shown, 100_000)).toEqual({
      token_type: "Bearer",
      expires_in: 100,
      scope: "a b",
      access_token: "placeholder of /claudeAiOauth/accessToken",
      refresh_token: "placeholder of /claudeAiOauth/refreshToken",
    });
    expect(renewedAnswer(credentials, claude.refresh, shown, 150_000)).toBeUndefined();
    // a JWT says itself when it ends
    const chatgpt = readCredentials(file(jwt({ exp: 200 })), codex);
    expect(renewedAnswer(chatgpt, codex.refresh, shown, 100_000)).toMatchObject({ expires_in: 100 });
    expect(renewedAnswer(chatgpt, codex.refresh, shown, 150_000)).toBeUndefined();
  });

  it("says which client it is of, and what for", () => {
    if (codex.refresh === undefined) throw new Error("it is known");
    const known = codex.refresh.clientIds ?? [];
    expect(grantOf(readCredentials(file(jwt({ client_id: "app_own", scp: ["a"] })), codex), codex.refresh)).toEqual({
      clientIds: [...known, "app_own"],
      parameters: ["refresh_reason"],
    });
    const own = {
      url: "https://x/",
      tokens: { access_token: "/tokens/access_token" },
      scopes: "/scope",
      clientId: "/client",
      parameters: ["audience"],
    };
    const credentials = readCredentials(file("opaque-access-token-0123", { scope: "a b", client: "c" }), codex);
    expect(grantOf(credentials, own)).toEqual({ scope: "a b", clientIds: ["c"], parameters: ["audience"] });
  });

  it.each([
    ["[]", /not a JSON object/],
    ['{"tokens":{"access_token":7}}', /no text at \/tokens\/access_token/],
    ['{"tokens":{"access_token":"a\\nb"}}', /line break/],
    ["{}", /holds none of/],
  ])("refuses %s", (text, message) => expect(() => readCredentials(text, codex)).toThrow(message));
});

describe("keeping a file", () => {
  let dir = "";
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), "agentkernel-secret-file-"))));
  afterEach(() => rmSync(dir, { recursive: true }));

  it("replaces it whole, for its owner alone, through a link that stays one, and leaves nothing behind", () => {
    const real = join(dir, "real.json");
    const path = join(dir, "auth.json");
    writeFileSync(real, "{}", { mode: 0o644 });
    symlinkSync(real, path);
    const before = readSecretFile({ name: "x", path });
    writeSecretFile({ path }, '{"a":1}');
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(readFileSync(real, "utf8")).toBe('{"a":1}');
    expect(statSync(real).mode & 0o777).toBe(0o600);
    expect(readSecretFile({ name: "x", path }).version).not.toBe(before.version);
    expect(before.path).toBe(real);
    expect(readdirSync(dir).toSorted()).toEqual(["auth.json", "real.json"]);
  });

  it("says nothing of one that is gone for a moment", () =>
    expect(secretFileVersion({ name: "x", path: join(dir, "gone") })).toBeUndefined());
});
