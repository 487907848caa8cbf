import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { installation } from "../support/installation.ts";
import { expectNoChildren } from "../support/leftovers.ts";

afterAll(() => expectNoChildren(/esbuild|vitest/));

const stream = (destination: string, more = ""): string => `[[audit.streams]]\ndestination = { ${destination} }\n${more}\n`;
const hook = (name: string, target: string, more = ""): string =>
  `[[proxy.hooks]]\nname = "${name}"\nevent = "on_deny"\ntarget = { ${target} }\n${more}\n`;

describe("config check", () => {
  it("names everything about streams and hooks that would not work, and no secret", async () => {
    await using place = await installation();
    const file = (name: string, text: string): string => {
      const path = join(place.home, name);
      writeFileSync(path, text);
      return path;
    };
    mkdirSync(join(place.home, "folder"));
    chmodSync(file("broken.key", "abc\ndef\n"), 0o600);
    const webhook = (rest: string): string => `type = "http_webhook", url = "https://c.example/${rest.length}", ${rest}`;
    await place.configure(
      [
        stream(webhook('authorization = { env = "NOT_SET" }')),
        stream(webhook('headers = { x-key = { vault = "NOBODY" } }')),
        stream(webhook(`authorization = { file = "${file("lines.txt", "two\nlines")}" }`)),
        stream(webhook('secret = "whsec_short"')),
        stream(webhook(`ca_file = "${join(place.home, "no-such.pem")}"`)),
        stream(webhook(`ca_file = "${file("no.pem", "nothing")}"`)),
        stream(`type = "file", path = "${join(place.home, "folder")}"`),
        stream(`type = "file", path = "${join(place.home, "lines.txt", "x.jsonl")}"`),
        stream(`type = "splunk", url = "http://splunk.example:8088", token = { file = "${join(place.home, "no-token")}" }`),
        hook("one", 'type = "webhook", url = "http://h.example/", authorization = "Bearer the-secret-text"'),
        hook("two", 'type = "file", path = "/elsewhere/x.jsonl"'),
        hook("three", 'type = "webhook", url = "http://127.0.0.1/"', 'secret = { env = "NOT_SET_EITHER" }'),
      ].join("\n"),
    );
    const { code, stdout, stderr } = await place.run(["config", "check"]);
    const said = stderr.toString();
    expect([code === 0, stdout.toString()]).toEqual([false, ""]);
    for (const [key, why] of [
      ["audit.streams[0].destination.authorization", "NOT_SET"],
      ["audit.streams[1].destination.headers.x-key", "NOBODY"],
      ["audit.streams[2].destination.authorization", "line break"],
      ["audit.streams[3].destination.secret", "whsec_"],
      ["audit.streams[4].destination.ca_file", "cannot be read"],
      ["audit.streams[5].destination.ca_file", "no certificate"],
      ["audit.streams[6].destination.path", "not a regular file"],
      ["audit.streams[7].destination.path", "cannot be"],
      ["audit.streams[8].destination.token", "no-token"],
      ["proxy.hooks[1].target.path", "hook_file_dirs"],
      ["proxy.hooks[2].secret", "NOT_SET_EITHER"],
    ] as const)
      expect(
        said.split("\n").filter((line) => line.startsWith(`error: ${key}: `) && line.includes(why)),
        `${key} ${why}\n${said}`,
      ).toHaveLength(1);
    for (const warned of ["audit.streams[8].destination.url", "proxy.hooks[0].target.url", "proxy.hooks[0].target.authorization"])
      expect(said).toMatch(new RegExp(`^warning: ${warned.replaceAll(/[[\].]/g, "\\$&")}[: ]`, "m"));
    expect(said).toMatch(/^error\[CONFIG_INVALID\]: .*agentkernel\.toml: 11 settings/m);
    for (const secret of ["the-secret-text", "whsec_short", "two\nlines"]) expect(said).not.toContain(secret);
  });

  it("is content with what would work, and makes nothing", async () => {
    await using place = await installation();
    await place.configure(
      [
        stream('type = "http_webhook", url = "https://c.example/", secret = { vault = "HOOK" }'),
        stream(`type = "file", path = "${join(place.home, "logs", "deep", "audit.jsonl")}"`, 'ocsf_version = "1.1.0"'),
        stream('type = "stdout"', "ocsf_enabled = false"),
        stream('type = "syslog", host = "syslog.example"', 'ocsf_version = "1.3.0"'),
        hook("file", 'type = "file", path = "denied.jsonl"'),
        hook("audit", 'type = "audit"'),
      ].join("\n"),
    );
    expect((await place.run(["secret", "set", "HOOK"], { input: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" })).code).toBe(0);
    const { code, stdout, stderr } = await place.run(["config", "check"]);
    expect([code, stderr.toString()]).toEqual([0, ""]);
    expect(stdout.toString()).toMatch(/is valid/);
    expect((await place.run(["audit", "tail", "-n", "1", "--json"])).code).toBe(0);
  });

  it("another file than the server's is not taken for its own, and a relative name means the same everywhere", async () => {
    await using place = await installation();
    writeFileSync(join(place.workspace, "a.toml"), "");
    writeFileSync(join(place.workspace, "b.toml"), "");
    expect(await place.run(["--config", "a.toml", "policy", "ls"])).toMatchObject({ code: 0 });
    expect(await place.run(["policy", "ls", "--config", join(place.workspace, "a.toml")])).toMatchObject({ code: 0 });
    const refused = await place.run(["--config", "b.toml", "policy", "ls"]);
    expect(refused).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^error\[CONFLICT\]: .*a\.toml, not .*b\.toml\nhint: .*serve --stop\n$/) as string,
    });
    expect(await place.run(["policy", "ls"])).toMatchObject({ code: 0 });
  });

  it("finds what would keep sandboxes from starting, and keys that have no value", async () => {
    await using place = await installation();
    const check = async (toml: string): Promise<readonly [number | null, string]> => {
      await place.configure(toml);
      const { code, stderr } = await place.run(["config", "check"]);
      return [code, stderr];
    };
    expect(await check('[[egress.rules]]\nhost = "*"\n')).toEqual([
      125,
      expect.stringMatching(/^error\[CONFIG_INVALID\]: egress\.rules\[0\] .*wildcard.*\n$/) as string,
    ]);
    expect(await check('[secrets]\nA_KEY = { host = "api.example.com", header = "no header" }\n')).toEqual([
      125,
      expect.stringMatching(/^error: secrets\.A_KEY: .*header[\s\S]*error\[CONFIG_INVALID\]/) as string,
    ]);
    const tunnel =
      '[[egress.rules]]\nhost = "api.example.com"\neffect = "tunnel"\n[secrets]\nA_KEY = { host = "api.example.com", from = { file = "/etc/hostname" } }\n';
    expect(await check(tunnel)).toEqual([125, expect.stringMatching(/secrets\.A_KEY: .*passes unopened/) as string]);
    expect(await check('[secrets]\nNO_SUCH_KEY = "api.example.com"\n[llm_keys]\nopenai = "NONE_HERE"\n')).toEqual([
      0,
      "warning: secrets.NO_SUCH_KEY has no value, so sandboxes start without it (agentkernel secret set NO_SUCH_KEY, or set the variable NO_SUCH_KEY)\n" +
        "warning: llm_keys.openai names NONE_HERE, which has no value, so no key is put in (agentkernel secret set NONE_HERE, or set the variable NONE_HERE)\n",
    ]);
  });

  it("a fault of TOML names its place and shows nothing of the line, and a server that cannot start says why in its own words", async () => {
    await using place = await installation();
    await place.configure(
      '[[audit.streams]]\ndestination = { type = "http_webhook", url = "https://a.example", authorization = Bearer sk-secret-text }\n',
    );
    const checked = await place.run(["config", "check"]);
    expect(checked.stderr).toMatch(/^error\[CONFIG_INVALID\]: [^\n]*agentkernel\.toml:2:\d+: [^\n]*\nhint: [^\n]*\n$/);
    expect(checked.stderr).not.toContain("sk-secret");
    await place.configure('[[egress.rules]]\nhost = "*.com"\n');
    const refused = await place.run(["ls"]);
    expect(refused).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(
        /^error\[CONFIG_INVALID\]: the server did not start: egress\.rules\[0\] .*top-level domain\n$/,
      ) as string,
    });
  });
});
