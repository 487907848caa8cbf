import type { z } from "zod";
import { configFile } from "../schema/config.ts";
import { formatKey, knownKeysAt, type Fault, type KeyPath } from "./check-keys.ts";
import { suggest } from "./suggest.ts";

const SEE = "see docs/reference/config.md";

/** Turns what zod found in a file of this schema into a sentence about the key, with what to do about it. Unknown keys come first: they explain the rest. */
export function explainIssues(issues: readonly z.core.$ZodIssue[], schema: z.ZodType = configFile): Fault {
  const first = issues.find((issue) => issue.code === "unrecognized_keys") ?? issues[0];
  if (first === undefined) return { key: "", message: "is not valid", hint: SEE };
  const path = first.path.map((part) => (typeof part === "symbol" ? String(part) : part));
  if (first.code === "unrecognized_keys") return unknownKey(path, first.keys[0] ?? "", schema);
  return { key: formatKey(path), ...say(first) };
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

function say(issue: z.core.$ZodIssue): { readonly message: string; readonly hint: string } {
  // our own messages continue the sentence "<key> …" and name the remedy themselves
  if (/^(?:is|has|must) /.test(issue.message)) {
    const [what = "", ...remedy] = issue.message.split(": ");
    return { message: what, hint: remedy.length === 0 ? SEE : remedy.join(": ") };
  }
  if (issue.code !== "unrecognized_keys" && issue.input === undefined) return { message: "is missing", hint: SEE };
  switch (issue.code) {
    case "invalid_type":
      return { message: `is not ${TYPES[issue.expected] ?? issue.expected}`, hint: `write ${EXAMPLES[issue.expected] ?? "another value"}` };
    case "invalid_value": {
      const values = issue.values.map(String);
      const near = typeof issue.input === "string" ? suggest(issue.input, values) : undefined;
      return {
        message: `is none of ${values.join(", ")}`,
        hint: near === undefined ? `write one of ${values.join(", ")}` : `did you mean ${near}?`,
      };
    }
    case "too_small":
      return { message: "is too small", hint: `at least ${issue.minimum}${issue.inclusive === false ? ", exclusive" : ""}` };
    case "too_big":
      return { message: "is too large", hint: `at most ${issue.maximum}` };
    case "invalid_key":
      return { message: "is not the name of a variable", hint: "write letters, digits and underscores" };
    default:
      return { message: "is not valid", hint: SEE };
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a table",
  record: "a table",
};
const EXAMPLES: Readonly<Record<string, string>> = {
  string: "it in quotes",
  number: "a number without quotes",
  int: "a whole number without quotes",
  boolean: "true or false without quotes",
  array: "a list, as [ … ]",
  object: "a table, as [name] or { … }",
  record: "a table, as [name] or { … }",
};
