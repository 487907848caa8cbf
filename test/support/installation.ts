import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cli, stateHome, type CliOptions, type CliResult } from "./cli.ts";
import { tempDir } from "./temp.ts";

/** An installation of its own: state, configuration, working directory; gone with the scope, and its server with it. */
export interface Installation extends AsyncDisposable {
  readonly home: string;
  /** an empty directory, the working directory of every call */
  readonly workspace: string;
  /** replaces the configuration */
  configure(toml: string): Promise<void>;
  run(args: readonly string[], options?: Omit<CliOptions, "home" | "cwd" | "program">): Promise<CliResult>;
}

export async function installation(program?: string): Promise<Installation> {
  const dir = await tempDir({ prefix: "agentkernel-e2e-" });
  const home = stateHome(dir.path);
  const workspace = join(dir.path, "work");
  const config = join(home, "config", "agentkernel");
  await mkdir(workspace);
  await mkdir(config, { recursive: true });
  const run: Installation["run"] = (args, options = {}) =>
    cli(args, {
      ...options,
      ...(program === undefined ? {} : { program }),
      home,
      cwd: workspace,
      // the ordinary PATH, as a user has it: the project's own Node must be found without it
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...options.env },
    });
  return {
    home,
    workspace,
    configure: (toml) => writeFile(join(config, "agentkernel.toml"), toml),
    run,
    [Symbol.asyncDispose]: async () => {
      // the server that `llm usage` and others start in the background
      await run(["serve", "--stop"], { timeoutMs: 20_000 });
      await dir[Symbol.asyncDispose]();
    },
  };
}
