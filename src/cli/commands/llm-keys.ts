import { connect } from "../connect.ts";
import { table } from "../table.ts";
import type { Cli } from "../cli.ts";

/** `agentkernel llm keys set TARGET NAME`: the value is the secret's, never in argv. */
export async function set(cli: Cli, target: string, name: string): Promise<number> {
  using client = await connect(cli);
  const { hosts } = await client.setLlmKey(target, { vault_key_name: name });
  cli.output.note(`${name} is put into the requests of every sandbox to ${hosts.join(", ")}`);
  return 0;
}

export async function list(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  using client = await connect(cli);
  const keys = await client.llmKeys();
  if (flags.json === true) cli.output.json(keys);
  else if (keys.length === 0) cli.output.note("no keys of the organisation");
  else
    cli.output.out(
      table(
        keys,
        [
          { title: "FOR", value: ({ target }) => target },
          { title: "SECRET", value: (key) => key.vault_key_name },
          { title: "HOSTS", value: ({ hosts }) => hosts.join(", "), wraps: true },
          { title: "VALUE", value: ({ available }) => (available ? "kept" : "missing") },
          { title: "FROM", value: ({ source }) => source },
        ],
        cli.output.width,
      ),
    );
  return 0;
}

export async function remove(cli: Cli, targets: readonly string[]): Promise<number> {
  using client = await connect(cli);
  for (const target of targets) {
    await client.removeLlmKey(target);
    cli.output.note(`no key is put into requests to ${target} any more`);
  }
  return 0;
}
