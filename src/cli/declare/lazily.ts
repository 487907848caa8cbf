import type { Cli } from "../cli.ts";

/** What a command does; gives its exit code. */
export type Action = (cli: Cli, ...args: never[]) => Promise<number>;

/** Makes the action of a command from what loads its module, only when it is called: `--help` and `run` stay quick. */
export type Lazily = (load: () => Promise<Action>) => (...args: unknown[]) => Promise<void>;

/** `setExit` is given the exit code of the command that ran. */
export function lazilyFor(cli: Cli, setExit: (code: number) => void): Lazily {
  return (load) =>
    async (...args) => {
      const action = (await load()) as (cli: Cli, ...rest: unknown[]) => Promise<number>;
      // commander appends itself to what the command declared, and leaves `--` in place where options were passed through
      const given = args.slice(0, -1).map((arg) => (Array.isArray(arg) && arg[0] === "--" ? arg.slice(1) : arg));
      setExit(await action(cli, ...given));
    };
}
