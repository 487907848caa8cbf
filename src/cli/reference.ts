import type { Command } from "commander";
import { EXAMPLES } from "./declare/examples.ts";
import { createOutput } from "./output.ts";
import { createProgram } from "./program.ts";

/** `docs/reference/cli.md`: every command with its arguments and options, from the program itself. */
export function renderCliReference(): string {
  const program = createProgram({ output: createOutput({ color: false }), configFile: undefined }, () => undefined);
  const sections = leaves(program, "agentkernel").map(({ name, command }) => {
    const usage = command
      .createHelp()
      .commandUsage(command)
      .replace(/^agentkernel /, "");
    const help = command.createHelp();
    const rows = [
      ...help.visibleArguments(command).map((argument) => [help.argumentTerm(argument), help.argumentDescription(argument)] as const),
      ...help.visibleOptions(command).map((option) => [help.optionTerm(option), help.optionDescription(option)] as const),
    ].filter(([term, description]) => description !== "" && !term.startsWith("-h, --help"));
    const table =
      rows.length === 0
        ? ""
        : `\n| | |\n|---|---|\n${rows.map(([term, text]) => `| \`${term}\` | ${text.replaceAll("|", "\\|")} |`).join("\n")}\n`;
    const examples = EXAMPLES[name.slice(name.indexOf(" ") + 1)] ?? [];
    const shown = examples.length === 0 ? "" : `\n\`\`\`sh\n${examples.join("\n")}\n\`\`\`\n`;
    return `## ${name}\n\n${command.description()}\n\n\`\`\`\nagentkernel ${usage}\n\`\`\`\n${table}${shown}`;
  });
  return [
    "# Commands",
    "",
    "Made from the program; do not edit. `--config FILE` is accepted anywhere before `--`. Exit codes: the command's own for `run` and",
    "`exec`, 128+n for a signal, 124 for `--timeout`, 125 for a failure of agentkernel, 126 and 127 for a command that cannot be",
    "executed or found, 137 for the memory limit. `audit verify` ends with its verdict (0 to 4); `policy check`, `policy allow` and `policy deny`",
    "with 1 when the host is decided on otherwise, `hooks test` with 1 when the sample was not taken.",
    "",
    sections.join("\n"),
  ].join("\n");
}

function leaves(command: Command, name: string): { readonly name: string; readonly command: Command }[] {
  const below = command.commands.filter((one) => one.name() !== "help");
  if (below.length === 0) return [{ name, command }];
  return below.flatMap((one) => leaves(one, `${name} ${one.name()}`));
}
