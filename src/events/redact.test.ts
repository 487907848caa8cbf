import { describe, expect, it } from "vitest";
import { maskBody, redactArgv, redactText, redactUrl } from "./redact.ts";
import { cpuMs } from "../../test/support/cpu-time.ts";

const R = "[redacted]";

describe("redactArgv", () => {
  it.each([
    [
      ["gh", "--token", "hunter22", "pr"],
      ["gh", "--token", R, "pr"],
    ],
    [
      ["tool", "--api-key=abc123"],
      ["tool", `--api-key=${R}`],
    ],
    [
      ["tool", "--accessToken", "zzz"],
      ["tool", "--accessToken", R],
    ],
    [
      ["env", "OPENAI_API_KEY=abc", "node"],
      ["env", `OPENAI_API_KEY=${R}`, "node"],
    ],
    [
      ["env", "STRIPE_KEY=abc"],
      ["env", `STRIPE_KEY=${R}`],
    ],
    [
      ["psql", "postgres://bob:pw@db/x"],
      ["psql", `postgres://${R}@db/x`],
    ],
    [
      ["curl", "-H", "Authorization: Bearer abc.def"],
      ["curl", "-H", `Authorization: Bearer ${R}`],
    ],
    [
      ["curl", "-H", "x-api-key: 12345"],
      ["curl", "-H", `x-api-key: ${R}`],
    ],
    [
      ["curl", "-H", "Cookie: a=b; c=d"],
      ["curl", "-H", `Cookie: ${R}`],
    ],
    [
      ["curl", "-u", "bob:secretpw", "https://h/"],
      ["curl", "-u", `bob:${R}`, "https://h/"],
    ],
    [
      ["curl", "--user", "bob:secretpw"],
      ["curl", "--user", `bob:${R}`],
    ],
    [
      ["curl", "https://h/v1?key=AAA&x=1"],
      ["curl", `https://h/v1?key=${R}&x=1`],
    ],
    [
      ["curl", "https://h/?X-Amz-Signature=deadbeef"],
      ["curl", `https://h/?X-Amz-Signature=${R}`],
    ],
    [
      ["echo", "sk-ant-api03-AAAAAAAAAAAAAAAAAAAA"],
      ["echo", R],
    ],
    [
      ["echo", "ghp_abcdefghijklmnopqrstuvwxyz0123"],
      ["echo", R],
    ],
    [
      ["echo", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc"],
      ["echo", R],
    ],
    [
      ["sh", "-c", "API_TOKEN=abc curl -H 'Authorization: Bearer xyz' https://u:p@h/ --password hunter2 | tee x"],
      ["sh", "-c", `API_TOKEN=${R} curl -H 'Authorization: Bearer ${R}' https://${R}@h/ --password ${R} | tee x`],
    ],
    [
      ["sh", "-c", "export DB_PASSWORD='a b c'; run"],
      ["sh", "-c", `export DB_PASSWORD='${R}'; run`],
    ],
    [
      ["node", "-e", 'x({"password": "abc"})'],
      ["node", "-e", `x({"password": "${R}"})`],
    ],
    [
      ["curl", "-d", '{"content":"with password=hunter2 inside","args":"{\\"client_secret\\": \\"abc\\"}"}'],
      ["curl", "-d", `{"content":"with password=${R} inside","args":"{\\"client_secret\\": \\"${R}\\"}"}`],
    ],
    [
      ["env", "OPTIONS=user=me:password=abc"],
      ["env", `OPTIONS=user=me:password=${R}`],
    ],
  ])("%j", (argv, expected) => {
    expect(redactArgv(argv)).toEqual(expected);
  });

  it.each([
    [["ls", "-la", "/tmp"]],
    [["llm", "--max-tokens", "100"]],
    [["tool", "--token-file", "/run/token"]],
    [["tool", "--auth-type", "basic"]],
    [["git", "commit", "-m", "Fix key lookup: use the right index"]],
    [["curl", "https://api.example.com/v1/models?limit=10"]],
    [["sh", "-c", "for k in a b; do echo key=$k; done"]],
    [["sudo", "-u", "postgres", "psql"]],
    [["docker", "run", "-u", "1000:1000"]],
  ])("leaves %j", (argv) => {
    expect(redactArgv(argv)).toEqual(argv);
  });

  it("replaces known secrets wherever they stand, and ignores ones too short to be told from words", () => {
    expect(redactArgv(["echo", "xhorsebatteryx", "cat"], ["horsebattery", "cat"])).toEqual(["echo", `x${R}x`, "cat"]);
  });

  it("replaces a known secret that crosses the cut", () => {
    const secret = "q".repeat(40);
    const [text] = redactArgv(["a".repeat(8180) + secret], [secret]);
    expect(text).not.toContain("qqqq");
  });

  it("takes a private key out whole", () => {
    expect(redactText("x -----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY----- y")).toBe(`x ${R} y`);
    expect(redactText("x -----BEGIN PRIVATE KEY-----\nMIIE")).toBe(`x ${R}`);
  });

  it("bounds what it gives", () => {
    const long = redactArgv(Array.from({ length: 10_000 }, () => "x"));
    expect(long).toHaveLength(257);
    expect(long.at(-1)).toBe("…[+9744 arguments]");
    expect(redactArgv(["y".repeat(1 << 20)])[0]?.length).toBeLessThan(9000);
  });

  it("takes linear time on hostile text", () => {
    for (const hostile of [
      "a".repeat(8192),
      "=".repeat(8192),
      "-".repeat(8192),
      " ".repeat(8192),
      "http://".repeat(1200),
      "cookie:".repeat(1200),
      "--token ".repeat(1000),
      "A=".repeat(4096),
      `A="b='`.repeat(1300),
      `a\\"=\\"`.repeat(1000),
      "a=\\".repeat(2000),
      `"${"'".repeat(8000)}`,
      "-----BEGIN PRIVATE KEY-----".repeat(300),
      "eyJaaaaaaaa.".repeat(700),
    ]) {
      expect(
        cpuMs(() => redactText(hostile)),
        hostile.slice(0, 20),
      ).toBeLessThan(250);
    }
  });
});

describe("maskBody", () => {
  it("masks in every piece of a long text, and keeps the rest as it is", () => {
    const line = '{"n": 1, "api_key": "sk-aaaaaaaaaaaaaaaaaaaaaaaa", "text": "über"}\n';
    expect(maskBody(line.repeat(2_000))).toBe(line.replace("sk-aaaaaaaaaaaaaaaaaaaaaaaa", R).repeat(2_000));
    const plain = "🦀".repeat(20_000);
    expect(maskBody(plain)).toBe(plain);
  });

  it("takes bounded time on hostile text", () => {
    for (const hostile of ["eyJ-", "eyJaaaaaaaa.", "A=", `A="b='`, "http://", "a"]) {
      const text = hostile.repeat(Math.floor(65_536 / hostile.length));
      expect(
        cpuMs(() => maskBody(text)),
        hostile,
      ).toBeLessThan(500);
    }
  });
});

describe("redactUrl", () => {
  it.each([
    ["https://user:pw@host/p?q=1", `https://${R}@host/p?q=1`],
    ["https://token@host/", `https://${R}@host/`],
    ["https://h/a@b", "https://h/a@b"],
    ["https://h/?access_token=abc#frag", `https://h/?access_token=${R}#frag`],
    ["https://h/?monkey=1", "https://h/?monkey=1"],
  ])("%s", (url, expected) => {
    expect(redactUrl(url)).toBe(expected);
  });
});
