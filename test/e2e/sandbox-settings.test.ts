import { describe, expect, it } from "vitest";
import { type Installation, installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

/** `[sandbox]` and the options of `run` that say the same, from the file and the command line to what holds inside. */

const INSIDE = "ulimit -n; df -k /tmp | awk 'END { print $2 }'";
const EAT = "head -c 300000000 /dev/zero | tail > /dev/null";
const FORK = "for i in $(seq 60); do sleep 9 & done; echo all";

const run = (at: Installation, script: string, ...options: readonly string[]) =>
  at.run(["run", "--no-workspace", ...options, "--", "sh", "-c", script]);
type Info = { readonly profile: string; readonly limits: Readonly<Record<string, { readonly value: number | null }>> };
const infoOf = async (at: Installation, name: string): Promise<Info> =>
  JSON.parse((await at.run(["info", name, "--json"])).stdout.toString()) as Info;

describe("[sandbox]", requires("bwrap"), () => {
  it("limits replace the profile's and are held", async () => {
    await using at = await installation();
    await at.configure(
      '[sandbox.limits]\nmemory = "96MiB"\ncpus = 0.5\npids = 24\nopen_files = 128\nscratch = "1MiB"\n[sandbox]\nprofile = "permissive"\n',
    );
    expect((await run(at, INSIDE)).stdout.toString()).toBe("128\n1024\n");
    expect(await run(at, EAT)).toMatchObject({ code: 137 });
    expect((await run(at, FORK)).stdout.toString()).toBe("");
    await at.run(["create", "box", "--no-workspace"]);
    expect(await infoOf(at, "box")).toMatchObject({ profile: "permissive", limits: { cpu: { value: 0.5 } } });
  }, 60_000);

  it("max bounds the profile's limits and what a request asks for", async () => {
    await using at = await installation();
    await at.configure('[sandbox.max]\nmemory = "1GiB"\ncpus = 1\npids = 64\nopen_files = 256\nscratch = "2MiB"\n');
    expect((await run(at, INSIDE)).stdout.toString()).toBe("256\n2048\n");
    for (const [option, value] of [
      ["--memory", "1536MiB"],
      ["--cpus", "1.5"],
      ["--pids", "100"],
    ] as const)
      expect((await run(at, "true", option, value)).stderr, option).toMatch(
        /error\[FORBIDDEN\]: .* is more than the .* that the operator permits/,
      );
  }, 60_000);

  it("ttl ends and removes sandboxes by itself", async () => {
    await using at = await installation();
    await at.configure('[sandbox]\nttl = "1s"\n');
    await at.run(["create", "box", "--no-workspace"]);
    await waitFor(async () => (await at.run(["ls", "--json"])).stdout.toString().trim() === "[]", { what: "its end", timeoutMs: 15_000 });
  }, 60_000);
});

describe("options of run and create", requires("bwrap"), () => {
  it("--memory, --pids and --cpus are held", async () => {
    await using at = await installation();
    expect(await run(at, EAT, "--memory", "96MiB")).toMatchObject({ code: 137 });
    expect((await run(at, FORK, "--pids", "24")).stdout.toString()).toBe("");
    await at.run(["create", "box", "--no-workspace", "--memory", "96MiB", "--pids", "24", "--cpus", "0.5"]);
    expect((await infoOf(at, "box")).limits).toMatchObject({ memory: { value: 96 * 1024 ** 2 }, pids: { value: 24 }, cpu: { value: 0.5 } });
    expect((await run(at, "true", "--keep", "--cpus", "0.5", "--label", "a=b")).code).toBe(0);
    const [kept] = JSON.parse((await at.run(["ls", "--label", "a=b", "--json"])).stdout.toString()) as { name: string; state: string }[];
    expect(kept).toMatchObject({ state: "stopped" });
    expect((await infoOf(at, kept?.name ?? "")).limits).toMatchObject({ cpu: { value: 0.5 } });
  }, 60_000);
});
