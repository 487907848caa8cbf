import { describe, expect, it } from "vitest";
import { environmentFrom, isColorWanted, vaultKeyFrom } from "./env.ts";
import { configCandidates, statePaths } from "./paths.ts";

const paths = (values: Readonly<Record<string, string>>, uid = 1000) => statePaths(environmentFrom(values), uid);

describe("statePaths", () => {
  it.each([
    [{ HOME: "/home/a" }, 1000, "/home/a/.local/share/agentkernel", "/home/a/.config/agentkernel"],
    [{ HOME: "/home/a", XDG_DATA_HOME: "/d", XDG_CONFIG_HOME: "/c" }, 1000, "/d/agentkernel", "/c/agentkernel"],
    [{ HOME: "/home/a", XDG_DATA_HOME: "/d", AGENTKERNEL_HOME: "/ak" }, 1000, "/ak", "/home/a/.config/agentkernel"],
    [{ HOME: "/root" }, 0, "/var/lib/agentkernel", "/etc/agentkernel"],
    [{ HOME: "/root", XDG_DATA_HOME: "/d" }, 0, "/d/agentkernel", "/etc/agentkernel"],
    [{ HOME: "/home/a", XDG_DATA_HOME: "", AGENTKERNEL_HOME: "" }, 1000, "/home/a/.local/share/agentkernel", "/home/a/.config/agentkernel"],
  ])("with %j as uid %d", (values, uid, state, config) => {
    const found = paths(values, uid);
    expect(found).toMatchObject({ state, config, socket: `${state}/run/serve.sock`, auditKey: `${config}/audit.key` });
    // the key that signs must not lie where what it signs can be written
    expect(found.auditKey.startsWith(`${found.state}/`)).toBe(false);
  });

  it.each(["AGENTKERNEL_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME"])(
    "refuses a relative %s, which would be the working directory's",
    (name) => {
      expect(() => paths({ [name]: "state" })).toThrow(
        expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(name) }),
      );
    },
  );

  it("refuses a socket path the kernel cannot take, counted in bytes", () => {
    const longest = `/${"a".repeat(107 - "/run/serve.sock".length - 1)}`;
    expect(Buffer.byteLength(paths({ HOME: "/h", AGENTKERNEL_HOME: longest }).socket)).toBe(107);
    for (const home of [`${longest}a`, `/${"ü".repeat(50)}`]) {
      expect(() => paths({ HOME: "/h", AGENTKERNEL_HOME: home })).toThrow(
        expect.objectContaining({ code: "CONFIG_INVALID", hint: expect.stringContaining("AGENTKERNEL_HOME") }),
      );
    }
  });
});

describe("configCandidates", () => {
  it("looks in the user's folder, then in /etc, and nowhere else", () => {
    expect(configCandidates(environmentFrom({ HOME: "/home/a" }), 1000)).toEqual([
      "/home/a/.config/agentkernel/agentkernel.toml",
      "/etc/agentkernel/agentkernel.toml",
    ]);
    expect(configCandidates(environmentFrom({ HOME: "/home/a", XDG_CONFIG_HOME: "/c" }), 1000)).toEqual([
      "/c/agentkernel/agentkernel.toml",
      "/etc/agentkernel/agentkernel.toml",
    ]);
    expect(configCandidates(environmentFrom({ XDG_CONFIG_HOME: "/etc" }), 0)).toEqual(["/etc/agentkernel/agentkernel.toml"]);
  });
});

describe("vaultKeyFrom", () => {
  it("takes 32 bytes in hex or base64, nothing for an empty variable, and refuses the rest without showing it", () => {
    expect(vaultKeyFrom(environmentFrom({ AGENTKERNEL_VAULT_KEY: "ab".repeat(32) }))?.reveal()).toBe("ab".repeat(32));
    expect(vaultKeyFrom(environmentFrom({ AGENTKERNEL_VAULT_KEY: `${"A".repeat(43)}=\n` }))?.reveal()).toBe(`${"A".repeat(43)}=`);
    expect(vaultKeyFrom(environmentFrom({ AGENTKERNEL_VAULT_KEY: " " }))).toBeUndefined();
    expect(vaultKeyFrom(environmentFrom({}))).toBeUndefined();
    expect(() => vaultKeyFrom(environmentFrom({ AGENTKERNEL_VAULT_KEY: "hunter2" }))).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.not.stringContaining("hunter2") }),
    );
  });
});

it("colour is left out where NO_COLOR says anything, and on terminals that have none", () => {
  const wanted = (variables: Readonly<Record<string, string>>) => isColorWanted(environmentFrom(variables));
  expect([wanted({}), wanted({ NO_COLOR: "" }), wanted({ NO_COLOR: "0" }), wanted({ TERM: "dumb" })]).toEqual([true, true, false, false]);
});
