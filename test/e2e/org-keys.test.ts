import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createStandIn, standInUpstreams } from "../../src/demo/stand-in.ts";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";

const ORG = { openai: "sk-proj-orgkeyorgkeyorgkeyorgkey123456", anthropic: "sk-ant-api03-orgkeyorgkeyorgkey123456" };
const OWN = "sk-proj-ownkeyownkeyownkeyownkey123456";

const chat = (authorization: string): string =>
  `curl -s ${authorization} -H 'content-type: application/json' -d '{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}]}' https://api.openai.com/v1/chat/completions >/dev/null`;
const messages = `curl -s -H 'content-type: application/json' -H 'anthropic-version: 2023-06-01' -d '{"model":"claude-sonnet-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}' https://api.anthropic.com/v1/messages >/dev/null`;

describe("keys of the organisation", requires("bwrap", "curl"), () => {
  it("reach every sandbox's calls of models and nothing else, and a sandbox's own key comes before them", {
    timeout: 120_000,
  }, async () => {
    await using standIn = await createStandIn();
    await using at = await installation();
    const ca = join(at.home, "ca.pem");
    await writeFile(ca, standIn.caPem);
    const upstreams = standInUpstreams(standIn).map(
      ({ host, url }) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "${url}"\nca_file = "${ca}"\n`,
    );
    await at.configure(`${upstreams.join("")}[llm_keys]\nopenai = "ORG_OPENAI"\n`);
    const good = async (args: readonly string[], input?: string): Promise<string> => {
      const { code, stdout, stderr } = await at.run(args, { timeoutMs: 40_000, ...(input === undefined ? {} : { input }) });
      expect(code, stderr).toBe(0);
      return stdout.toString() + stderr;
    };
    await good(["secret", "set", "ORG_OPENAI"], ORG.openai);
    await good(["secret", "set", "ORG_ANTHROPIC"], ORG.anthropic);
    await good(["secret", "set", "OWN_KEY"], OWN);
    await good(["create", "plain", "--no-workspace"]);
    await good(["create", "own", "--no-workspace", "--secret", "OWN_KEY:api.openai.com"]);
    const shown: string[] = [];
    const inside = async (name: string, script: string): Promise<void> => {
      shown.push(await good(["exec", name, "--", "sh", "-c", `${script}; env`]));
    };
    const before = (): number => standIn.requests.length;
    const keysSince = (from: number): readonly (string | null)[] => standIn.requests.slice(from).map(({ key }) => key);

    let from = before();
    await inside("plain", `${chat("")}; ${chat('-H "authorization: Bearer sk-brought-along"')}`);
    expect(keysSince(from)).toEqual([`Bearer ${ORG.openai}`, `Bearer ${ORG.openai}`]);
    // administration, billing and everybody's files are reached without a key
    from = before();
    const parts = ["organization/admin_api_keys", "organization/costs", "files", "fine_tuning/jobs", "batches"];
    await inside(
      "plain",
      parts.map((part) => `curl -s -H "authorization: Bearer x" https://api.openai.com/v1/${part} >/dev/null`).join(";"),
    );
    expect(keysSince(from)).toEqual(parts.map(() => null));

    // one that is set while it runs
    await good(["llm", "keys", "set", "anthropic", "ORG_ANTHROPIC"]);
    from = before();
    await inside("plain", messages);
    expect(keysSince(from)).toEqual([ORG.anthropic]);

    // a sandbox's own binding wins, also where it is not used
    from = before();
    await inside("own", `${chat('-H "authorization: Bearer $OWN_KEY"')}; ${chat("")}`);
    expect(keysSince(from)).toEqual([`Bearer ${OWN}`, null]);
    const refused = await at.run([
      "exec",
      "own",
      "--",
      "sh",
      "-c",
      `curl -s -o /dev/null -w '%{http_code}' -H "authorization: Bearer $OWN_KEY" https://api.openai.com/v1/organization/admin_api_keys`,
    ]);
    expect(refused.stdout.toString()).toBe("403");

    const audit = await good(["audit", "tail", "--json", "-n", "500"]);
    const calls = audit
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as { type: string; sandbox?: string; key_source?: string; provider?: string })
      .filter(({ type }) => type === "llm.call")
      .map(({ sandbox, provider, key_source }) => `${sandbox} ${provider} ${key_source}`);
    expect(new Set(calls)).toEqual(new Set(["plain openai org", "plain anthropic org", "own openai sandbox", "own openai none"]));

    // a secret that is gone is missed where it was used
    const forgotten = await at.run(["secret", "rm", "ORG_ANTHROPIC", "OWN_KEY"]);
    expect(forgotten.stderr.split("\n").filter((line) => line.startsWith("warning"))).toEqual([
      "warning: ORG_ANTHROPIC was the key for anthropic, which has none now: agentkernel secret set ORG_ANTHROPIC, or llm keys rm anthropic",
    ]);
    from = before();
    await inside("plain", messages);
    // what opened the host was the key
    expect(keysSince(from)).toEqual([]);
    for (const value of [...Object.values(ORG), OWN]) expect(shown.join("") + audit).not.toContain(value);
  });
});
