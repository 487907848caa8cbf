import type { DeadLetterInfo } from "../schema/delivery.ts";
import type { Cli } from "./cli.ts";
import { jsonText } from "./output.ts";
import { table } from "./table.ts";

/** so many are shown at a time, by the API as well */
export const MAX_DEAD_LETTERS = 10_000;

/** Events that a stream or hook will never take as they are, with the reason. */
export function showDeadLetters({ output }: Cli, letters: readonly DeadLetterInfo[], isJson: boolean): void {
  if (isJson) for (const letter of letters) output.out(jsonText(letter));
  else if (letters.length === 0) output.note("no dead letters");
  else
    output.out(
      table(
        letters,
        [
          { title: "GIVEN UP", value: ({ time }) => time },
          { title: "EVENT", value: ({ event }) => event.id },
          { title: "TYPE", value: ({ event }) => event.type },
          { title: "REASON", value: ({ reason }) => reason, wraps: true },
        ],
        output.width,
      ),
    );
}
