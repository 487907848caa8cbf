import { AppError } from "../../base/error.ts";
import { profileName } from "../../schema/api.ts";
import { connect } from "../connect.ts";
import { printable } from "../output.ts";
import type { Cli } from "../cli.ts";

type CheckFlags = { readonly profile?: string; readonly sandbox?: string; readonly json?: boolean };

/** `agentkernel policy check URL`: exit 0 when it would be allowed, 1 when denied. */
export async function check(cli: Cli, url: string, flags: CheckFlags): Promise<number> {
  if (flags.profile !== undefined && flags.sandbox !== undefined) throw new AppError("VALIDATION", "give --profile or --sandbox, not both");
  using client = await connect(cli);
  const profile = flags.profile === undefined ? undefined : profileName.parse(flags.profile);
  const answer = await client.policyCheck({
    url,
    ...(profile === undefined ? {} : { profile }),
    ...(flags.sandbox === undefined ? {} : { sandbox: flags.sandbox }),
  });
  if (flags.json === true) cli.output.json(answer);
  else {
    cli.output.out(`${answer.verdict}  ${printable(url)}  rule ${answer.rule}: ${printable(answer.reason)}`);
    if (answer.hint !== undefined) cli.output.out(`hint: ${answer.hint}`);
  }
  return answer.verdict === "allow" ? 0 : 1;
}
