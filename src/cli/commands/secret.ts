import { connect } from "../connect.ts";
import { readHidden } from "../hidden-value.ts";
import { table } from "../table.ts";
import type { Cli } from "../cli.ts";

/** `agentkernel secret set NAME`: the value comes from stdin or a prompt that shows nothing, never from argv. */
export async function set(cli: Cli, name: string): Promise<number> {
  const value = await readHidden(cli, `the value of ${name}`, `printf %s "$KEY" | agentkernel secret set ${name}`);
  using client = await connect(cli);
  await client.setSecret(name, value);
  cli.output.note(`secret ${name} is kept; give it to a sandbox with --secret ${name}:HOST`);
  return 0;
}

export async function list(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  using client = await connect(cli);
  const secrets = await client.secrets();
  if (flags.json === true) cli.output.json(secrets);
  else if (secrets.length === 0) cli.output.note("no secrets");
  else
    cli.output.out(
      table(secrets, [
        { title: "NAME", value: (secret) => secret.name },
        { title: "CREATED", value: (secret) => secret.created_at },
        { title: "UPDATED", value: (secret) => secret.updated_at },
      ]),
    );
  return 0;
}

export async function remove(cli: Cli, names: readonly string[]): Promise<number> {
  using client = await connect(cli);
  for (const name of names) {
    await client.removeSecret(name);
    cli.output.note(`secret ${name} is forgotten`);
  }
  // keys are kept by name: one that is set again holds at once
  for (const { target, vault_key_name: name, available } of await client.llmKeys()) {
    if (names.includes(name) && !available)
      cli.output.note(
        `warning: ${name} was the key for ${target}, which has none now: agentkernel secret set ${name}, or llm keys rm ${target}`,
      );
  }
  return 0;
}
