import { AppError } from "../../base/error.ts";
import { connect } from "../connect.ts";
import { table } from "../output.ts";
import type { Cli } from "../cli.ts";

/** `agentkernel secret set NAME`: the value comes from stdin or a prompt that shows nothing, never from argv. */
export async function set(cli: Cli, name: string): Promise<number> {
  const value = process.stdin.isTTY ? await promptHidden(cli, name) : await readStdin();
  if (value === "") throw new AppError("VALIDATION", "the value is empty", { hint: `printf %s "$KEY" | agentkernel secret set ${name}` });
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
  return 0;
}

/** One trailing newline is the shell's, not the secret's. */
async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > 64 * 1024) throw new AppError("TOO_LARGE", "the value is longer than 64 KiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}

async function promptHidden(cli: Cli, name: string): Promise<string> {
  const { password, isCancel } = await import("@clack/prompts");
  const answer = await password({ message: `Value of ${name}` });
  if (isCancel(answer)) throw new AppError("VALIDATION", "nothing was stored");
  cli.output.note("");
  return answer;
}
