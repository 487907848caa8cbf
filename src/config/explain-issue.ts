import type { z } from "zod";
import { configFile } from "../schema/config.ts";
import { formatKey, knownKeysAt, type Fault, type KeyPath } from "./check-keys.ts";
import { sayIssue } from "../schema/issue-words.ts";
import { suggest } from "./suggest.ts";

const SEE = "see docs/reference/config.md";

/** Turns what zod found in a file of this schema into a sentence about the key, with what to do about it. Unknown keys come first: they explain the rest. */
export function explainIssues(issues: readonly z.core.$ZodIssue[], schema: z.ZodType = configFile): Fault {
  const first = issues.find((issue) => issue.code === "unrecognized_keys") ?? issues[0];
  if (first === undefined) return { key: "", message: "is not valid", hint: SEE };
  const path = first.path.map((part) => (typeof part === "symbol" ? String(part) : part));
  if (first.code === "unrecognized_keys") return unknownKey(path, first.keys[0] ?? "", schema);
  const { message, remedy } = sayIssue(first);
  const near =
    first.code === "invalid_value" && typeof first.input === "string" ? suggest(first.input, first.values.map(String)) : undefined;
  return { key: formatKey(path), message, hint: near === undefined ? (remedy ?? SEE) : `did you mean ${near}?` };
}

function unknownKey(path: KeyPath, name: string, schema: z.ZodType): Fault {
  const known = knownKeysAt(path, schema);
  const near = suggest(name, known);
  return {
    key: formatKey([...path, name]),
    message: schema === configFile ? "is no key of the configuration" : "is no key of this file",
    hint: near === undefined ? `known here: ${known.join(", ")}` : `did you mean ${near}?`,
  };
}
