import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { rootCertificates } from "node:tls";
import { describe, expect, it } from "vitest";
import { loadCaFile } from "../../src/config/ca-file.ts";
import { environmentFrom } from "../../src/config/env.ts";
import { loadConfig } from "../../src/config/load.ts";
import { statePaths } from "../../src/config/paths.ts";
import { prepareState } from "../../src/config/prepare-state.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";

const uid = process.getuid?.() ?? 0;

async function put(file: string, text: string | Uint8Array, mode = 0o644): Promise<string> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  await chmod(file, mode);
  return file;
}

describe("finding the configuration", () => {
  const at = (dir: string) => ({ env: environmentFrom({ HOME: dir, XDG_CONFIG_HOME: join(dir, "config") }), uid: uid === 0 ? 4242 : uid });

  it("reads the user's file, or the one that was named, and never one of the working directory", async () => {
    await using dir = await tempDir();
    const own = join(dir.path, "config/agentkernel/agentkernel.toml");
    await put(join(dir.path, "agentkernel.toml"), "[server]\nport = 1");
    const before = process.cwd();
    process.chdir(dir.path);
    try {
      expect((await loadConfig(at(dir.path))).config.server.port).toBe(18_888);
      await put(own, "[server]\nport = 2");
      expect((await loadConfig(at(dir.path))).config).toMatchObject({ file: own, server: { port: 2 } });
      expect((await loadConfig({ ...at(dir.path), file: "agentkernel.toml" })).config).toMatchObject({
        file: join(dir.path, "agentkernel.toml"),
        server: { port: 1 },
      });
    } finally {
      process.chdir(before);
    }
  });

  it("fails in one line when the file is there and cannot be used: the next one would be another policy", async () => {
    await using dir = await tempDir();
    const own = join(dir.path, "config/agentkernel/agentkernel.toml");
    const failure = async (file?: string) =>
      await loadConfig({ ...at(dir.path), ...(file === undefined ? {} : { file }) }).then(
        () => {
          throw new Error("it was accepted");
        },
        (error: unknown) => error,
      );
    const invalid = (message: RegExp) =>
      expect.objectContaining({ code: "CONFIG_INVALID", exit: 125, message: expect.stringMatching(message), hint: expect.any(String) });

    expect(await failure(join(dir.path, "none.toml"))).toEqual(invalid(/none\.toml: there is no such file$/));
    await put(own, "[server]\nport = 2", 0o666);
    expect(await failure()).toEqual(invalid(/everybody may write it$/));
    await put(own, Buffer.from([0x5b, 0xff, 0xfe]));
    expect(await failure()).toEqual(invalid(/is not UTF-8 text$/));
    await put(own, "#".repeat(1024 * 1024 + 1));
    expect(await failure()).toEqual(invalid(/larger than 1 MiB$/));
    await put(own, "[server]\nprot = 1");
    expect(await failure()).toEqual(invalid(/agentkernel\.toml: server\.prot is no key of the configuration$/));
    expect(await failure(dir.path)).toEqual(invalid(/is not a regular file$/));
  });

  it("takes none of another user's, who could change it, unless it was named", requires("root"), async () => {
    await using dir = await tempDir();
    const own = await put(join(dir.path, "config/agentkernel/agentkernel.toml"), "[server]\nport = 2");
    await chown(own, 4243, 4243);
    for (const asked of [4242, 0]) {
      const options = { ...at(dir.path), uid: asked };
      await expect(loadConfig(options)).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringContaining("belongs to uid 4243"),
      });
      expect((await loadConfig({ ...options, file: own })).config.server.port).toBe(2);
    }
    expect((await loadConfig({ ...at(dir.path), uid: 4243 })).config.server.port).toBe(2);
  });

  it("fails when the system cannot open it", async () => {
    await using dir = await tempDir();
    const own = join(dir.path, "config/agentkernel/agentkernel.toml");
    await mkdir(dirname(own), { recursive: true });
    await symlink(own, own);
    await expect(loadConfig(at(dir.path))).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("cannot be read (ELOOP)"),
    });
  });
});

describe("the state folders", () => {
  const pathsIn = (dir: string) => statePaths(environmentFrom({ HOME: dir, AGENTKERNEL_HOME: join(dir, "state") }), uid);
  const modes = async (dir: string) =>
    Object.fromEntries(
      await Promise.all((await readdir(dir)).map(async (name) => [name, ((await stat(join(dir, name))).mode & 0o777).toString(8)])),
    );

  it("are made, twice without harm, and keep private what is private", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const paths = pathsIn(dir.path);
    await mkdir(paths.state, { mode: 0o777 });
    await chmod(paths.state, 0o777);
    await prepareState(paths, uid);
    await prepareState(paths, uid);
    const shared = uid === 0 ? "711" : "700";
    expect(((await stat(paths.state)).mode & 0o777).toString(8)).toBe(shared);
    expect(await modes(paths.state)).toEqual({
      authority: "700",
      events: "700",
      delivery: "700",
      run: "700",
      vault: "700",
      sandboxes: shared,
      staged: shared,
    });
  });

  it("are refused where a file or a link stands in their place", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const paths = pathsIn(dir.path);
    await put(paths.state, "");
    await expect(prepareState(paths, uid)).rejects.toMatchObject({ code: "STATE_UNUSABLE", message: expect.stringContaining(paths.state) });
    const linked = pathsIn(join(dir.path, "linked"));
    await mkdir(join(dir.path, "elsewhere"));
    await mkdir(join(dir.path, "linked"));
    await symlink(join(dir.path, "elsewhere"), linked.state);
    await expect(prepareState(linked, uid)).rejects.toMatchObject({
      code: "STATE_UNUSABLE",
      message: expect.stringContaining("is not a directory"),
    });
  });

  it("that are files are named with what helps", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const paths = pathsIn(dir.path);
    await put(paths.events, "");
    await expect(prepareState(paths, uid)).rejects.toMatchObject({
      code: "STATE_UNUSABLE",
      hint: expect.stringContaining(`mv ${paths.events}`),
    });
  });

  it("for which there is no room are a full disk", requires("root"), async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const full = join(dir.path, "full");
    await mkdir(full);
    // room for the first folders alone
    execFileSync("mount", ["-t", "tmpfs", "-o", "nr_inodes=4,mode=755", "tmpfs", full]);
    try {
      await expect(prepareState(pathsIn(full), uid)).rejects.toMatchObject({
        code: "DISK_FULL",
        hint: expect.stringContaining("free space"),
      });
    } finally {
      execFileSync("umount", ["-l", full]);
    }
  });

  it("are refused when they belong to somebody else", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    await mkdir(join(dir.path, "state"));
    await expect(prepareState(pathsIn(dir.path), uid + 1)).rejects.toMatchObject({
      code: "STATE_UNUSABLE",
      message: expect.stringContaining(`belongs to uid ${uid}`),
    });
  });

  it("are refused for root where sandbox uids could not reach them, or everybody could replace them", requires("root"), async () => {
    await using dir = await tempDir({ mode: 0o700 });
    await expect(prepareState(pathsIn(dir.path), 0)).rejects.toMatchObject({
      code: "STATE_UNUSABLE",
      hint: expect.stringContaining(`chmod o+x ${dir.path}`),
    });
    await chmod(dir.path, 0o777);
    await expect(prepareState(pathsIn(dir.path), 0)).rejects.toMatchObject({
      code: "STATE_UNUSABLE",
      hint: expect.stringContaining(`chmod o-w ${dir.path}`),
    });
    await chmod(dir.path, 0o711);
    await chown(dir.path, 4243, 4243);
    await expect(prepareState(pathsIn(dir.path), 0)).rejects.toMatchObject({
      code: "STATE_UNUSABLE",
      message: expect.stringContaining(`uid 4243 can replace ${pathsIn(dir.path).state}`),
    });
    await chown(dir.path, 0, 0);
    await prepareState(pathsIn(dir.path), 0);
  });
});

describe("loadCaFile", () => {
  it("takes certificates and refuses everything else, naming the key", async () => {
    await using dir = await tempDir();
    const [first = "", second = ""] = rootCertificates;
    const good = await put(join(dir.path, "good.pem"), `comment\n${first}\n\n${second}\n`);
    expect((await loadCaFile("egress.ca_file", good)).match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    for (const [text, message] of [
      ["", /holds no certificate/],
      [`${first}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----`, /number 2/],
      [`${first}\n-----BEGIN PRIVATE KEY-----\n`, /private key/],
    ] as const) {
      const file = await put(join(dir.path, "bad.pem"), text);
      await expect(loadCaFile("egress.ca_file", file)).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringMatching(new RegExp(`^egress\\.ca_file: .*${message.source}`)),
      });
    }
    await expect(loadCaFile("egress.ca_file", join(dir.path, "none"))).rejects.toMatchObject({
      message: expect.stringContaining("ENOENT"),
    });
  });
});
