import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { expect, test } from "vitest";
import { EXAMPLES } from "../src/cli/declare/examples.ts";
import { createOutput } from "../src/cli/output.ts";
import { createProgram } from "../src/cli/program.ts";
import { renderCliReference } from "../src/cli/reference.ts";

test("docs/reference/cli.md is what the program says (npm run generate)", () => {
  expect(readFileSync(new URL("../docs/reference/cli.md", import.meta.url), "utf8")).toBe(renderCliReference());
});

const output = { ...createOutput({ color: false }), fail: () => undefined };

test("every command has examples, and each of them is one of its command lines", async () => {
  const program = createProgram({ output, configFile: undefined }, () => undefined);
  const ran: string[] = [];
  const names = leaves(program, "").map(({ name, command }) => {
    command.action(() => void ran.push(name));
    return name;
  });
  expect(names.length).toBeGreaterThan(35);
  expect(Object.keys(EXAMPLES).sort()).toEqual(names.filter((name) => name !== "demo").sort());
  for (const [name, lines] of Object.entries(EXAMPLES)) {
    for (const line of lines) {
      const [, ...words] = wordsOf(line.replace(/^printf %s "\$KEY" \| /, ""));
      const argv = words[0] === "--config" ? words.slice(2) : words;
      await program.parseAsync(argv, { from: "user" });
      expect(ran.pop(), line).toBe(name);
    }
  }
});

test("a command line that is none names the command whose --help says more", async () => {
  const said: unknown[] = [];
  const program = createProgram({ output: { ...output, fail: (error) => said.push(error) }, configFile: undefined }, () => undefined);
  await expect(program.parseAsync(["policy", "chekc", "x"], { from: "user" })).rejects.toThrow();
  await expect(program.parseAsync(["audit", "tail", "--lnes", "3"], { from: "user" })).rejects.toThrow();
  expect(said).toMatchObject([
    { code: "VALIDATION", message: "unknown command 'chekc' (Did you mean check?)", hint: "agentkernel policy --help says how it is used" },
    {
      code: "VALIDATION",
      message: "unknown option '--lnes' (Did you mean --lines?)",
      hint: "agentkernel audit tail --help says how it is used",
    },
  ]);
});

function leaves(command: Command, name: string): readonly { readonly name: string; readonly command: Command }[] {
  const below = command.commands.filter((one) => one.name() !== "help");
  if (below.length === 0) return [{ name, command }];
  return below.flatMap((one) => leaves(one, `${name} ${one.name()}`.trim()));
}

/** As a shell takes them apart, as far as the examples need it. */
function wordsOf(line: string): readonly string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}
